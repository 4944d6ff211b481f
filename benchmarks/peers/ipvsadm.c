/* A stand-in for ipvsadm(8) where the kernel has no IPVS: what ldirectord asks of it, on a table in a file.
 *
 * It obeys -A -E -D -a -e -d, with what the kernel refuses (ip_vs_ctl.c) in libipvs's words, and prints `-L -n` and
 * `-L -n --thresholds` as ipvsadm 1.31 does. The table is the file `ipvsadm.table` of the working folder. Every call
 * adds one line to `ipvsadm.log` there, with seconds since the epoch: "AT read", "AT -a SERVICE SERVER WEIGHT", and
 * "AT refused -a ..." for what was refused. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MISUSED = 2, FAILED = 255, SERVICES = 4096, ROWS = 65536, ADDRESS = 64, WORDS = 80 };

/* Rows are counted from 1, so that 0 ends a chain. */
struct row {
    char address[ADDRESS];
    unsigned weight, upper, lower;
    char forward;
    int next;
};
struct service {
    char name[ADDRESS]; /* "TCP  10.0.0.1:80", "FWM  7 IPv6"; empty where the slot is free */
    char scheduler[24], flags[WORDS];
    int first;
};
struct table {
    int services, rows, free; /* slots ever used, rows ever used, first of the rows that are free again */
    struct service service[SERVICES];
    struct row row[ROWS];
};
struct call {
    char command;
    const char *protocol, *address, *real, *scheduler, *mask, *flags;
    unsigned persistent, weight, upper, lower;
    int v6, one_packet, thresholds;
    char forward;
};

static const char *const SCHEDULERS = " rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh ";

static void die(int status, const char *why)
{
    fprintf(stderr, "%s\n", why);
    exit(status);
}

static unsigned number(const char *text, unsigned long most, const char *wrong)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value > most)
        die(MISUSED, wrong);
    return value;
}

static void note(const char *format, ...)
{
    char line[400];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int length = snprintf(line, sizeof line, "%lld.%06ld ", (long long)now.tv_sec, now.tv_nsec / 1000);
    va_list words;
    va_start(words, format);
    length += vsnprintf(line + length, sizeof line - length - 1, format, words);
    va_end(words);
    if (length > (int)sizeof line - 2)
        length = sizeof line - 2;
    line[length++] = '\n';
    int fd = open("ipvsadm.log", O_WRONLY | O_APPEND | O_CREAT, 0644);
    if (fd < 0 || write(fd, line, length) != length)
        die(FAILED, "ipvsadm.log cannot be written");
}

static struct table *opened(int operation)
{
    int fd = open("ipvsadm.table", O_RDWR | O_CREAT, 0644);
    if (fd < 0 || flock(fd, operation) < 0 || ftruncate(fd, sizeof(struct table)) < 0)
        die(FAILED, "ipvsadm.table cannot be used");
    struct table *table = mmap(0, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (table == MAP_FAILED)
        die(FAILED, "ipvsadm.table cannot be mapped");
    return table; /* the lock goes with the process */
}

/* --- the words ---------------------------------------------------------------------------------------------------- */

static void command(struct call *call, int option)
{
    if (call->command)
        die(MISUSED, "multiple commands specified");
    call->command = option;
}

static struct call parsed(int argc, char **argv)
{
    static const struct option LONG[] = {{"thresholds", no_argument, 0, 'T'}, {0}};
    struct call call = {.weight = 1, .forward = 'g', .scheduler = "wlc"};
    int option;
    while ((option = getopt_long(argc, argv, "AEDaedLn6ogmipt:u:f:s:b:M:r:w:x:y:", LONG, 0)) != -1) {
        switch (option) {
        case 'A': case 'E': case 'D': case 'a': case 'e': case 'd': case 'L': command(&call, option); break;
        case 't': call.protocol = "TCP"; call.address = optarg; break;
        case 'u': call.protocol = "UDP"; call.address = optarg; break;
        case 'f': call.protocol = "FWM"; call.address = optarg; break;
        case 'g': case 'm': case 'i': call.forward = option; break;
        case 's': call.scheduler = optarg; break;
        case 'M': call.mask = optarg; break;
        case 'b': call.flags = optarg; break;
        case 'r': call.real = optarg; break;
        case 'w': call.weight = number(optarg, 0x7fffffff, "illegal weight specified"); break;
        case 'x': call.upper = number(optarg, 0x7fffffff, "illegal u_threshold specified"); break;
        case 'y': call.lower = number(optarg, 0x7fffffff, "illegal l_threshold specified"); break;
        case 'p': /* its argument may be left out */
            call.persistent = 300;
            if (optind < argc && argv[optind][0] != '-')
                call.persistent = number(argv[optind++], 31 * 86400, "illegal timeout for persistent service");
            break;
        case '6': call.v6 = 1; break;
        case 'o': call.one_packet = 1; break;
        case 'T': call.thresholds = 1; break;
        case 'n': break;
        default: exit(MISUSED);
        }
    }
    if (optind < argc || !call.command)
        die(MISUSED, "unexpected argument, or no command");
    if (call.command != 'L' && !call.address)
        die(MISUSED, "You need to supply the 'service-address' option for this command");
    if (strchr("aed", call.command) && !call.real)
        die(MISUSED, "You need to supply the 'real-server' option for this command");
    return call;
}

/* What ipvsadm itself does: a service of address and port without translation passes packets on to its own port. */
static void endpoint(const struct call *call, char *into)
{
    const char *port = strrchr(call->real, ':'), *own = strrchr(call->address, ':');
    if (!port || strchr(port, ']'))
        die(MISUSED, "the real server needs a port");
    int keeps = call->command == 'd' || call->forward == 'm' || !strcmp(call->protocol, "FWM") || !own;
    snprintf(into, ADDRESS, "%.*s%s", (int)(port - call->real), call->real, keeps ? port : own);
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static struct service *found(struct table *table, const char *name)
{
    for (int i = 0; i < table->services; i++)
        if (!strcmp(table->service[i].name, name))
            return &table->service[i];
    return 0;
}

static void describe(const struct call *call, struct service *service)
{
    int length = 0;
    char *into = service->flags;
    *into = 0;
    if (call->persistent)
        length += snprintf(into, WORDS, " persistent %u", call->persistent);
    if (call->persistent && call->mask)
        length += snprintf(into + length, WORDS - length, " mask %s", call->mask);
    if (call->flags)
        length += snprintf(into + length, WORDS - length, " (%s)", call->flags);
    if (call->one_packet)
        snprintf(into + length, WORDS - length, " ops");
    snprintf(service->scheduler, sizeof service->scheduler, "%s", call->scheduler);
}

/* Links of the chain, so that a row can be taken out: where the number of the row is kept. */
static int *link_of(struct table *table, struct service *service, const char *address)
{
    int *link = &service->first;
    while (*link && strcmp(table->row[*link].address, address))
        link = &table->row[*link].next;
    return link;
}

static const char *change_service(struct table *table, const struct call *call, const char *name)
{
    struct service *service = found(table, name);
    char word[32];
    snprintf(word, sizeof word, " %s ", call->scheduler);
    if (call->command == 'A' && service)
        return "Service already exists";
    if (call->command != 'A' && !service)
        return "No such service";
    if (call->command != 'D' && !strstr(SCHEDULERS, word))
        return "Scheduler or persistence engine not found";
    if (call->command == 'D') {
        int *last = &service->first;
        while (*last)
            last = &table->row[*last].next;
        *last = table->free; /* all its rows are free now, and those that were follow */
        table->free = service->first;
        memset(service, 0, sizeof *service);
        return 0;
    }
    if (!service && !(service = found(table, "")) && table->services < SERVICES)
        service = &table->service[table->services++];
    if (!service)
        return "Memory allocation problem";
    strcpy(service->name, name);
    describe(call, service);
    return 0;
}

static const char *change_row(struct table *table, const struct call *call, const char *name, const char *address)
{
    struct service *service = found(table, name);
    if (!service)
        return "Service not defined";
    int *link = link_of(table, service, address), row = *link;
    if (call->command != 'd' && call->upper && call->upper < call->lower)
        return strerror(ERANGE);
    if (call->command == 'a' && row)
        return "Destination already exists";
    if (call->command != 'a' && !row)
        return "No such destination";
    if (call->command == 'd') {
        *link = table->row[row].next;
        table->row[row].next = table->free;
        table->free = row;
        return 0;
    }
    if (call->command == 'a') {
        row = table->free;
        if (row)
            table->free = table->row[row].next;
        else if (table->rows < ROWS - 1)
            row = ++table->rows;
        else
            return "Memory allocation problem";
        strcpy(table->row[row].address, address);
        table->row[row].next = service->first;
        service->first = row;
    }
    struct row *changed = &table->row[row];
    changed->weight = call->weight, changed->upper = call->upper, changed->lower = call->lower;
    changed->forward = call->forward;
    return 0;
}

/* --- printing ----------------------------------------------------------------------------------------------------- */

static void print_row(const struct row *row, int thresholds)
{
    const char *forward = row->forward == 'm' ? "Masq" : row->forward == 'i' ? "Tunnel" : "Route";
    if (thresholds)
        printf("  -> %-28s %-10u %-10u %-10u %-10u\n", row->address, row->upper, row->lower, 0u, 0u);
    else
        printf("  -> %-28s %-7s %-6u %-10u %-10u\n", row->address, forward, row->weight, 0u, 0u);
}

static int list(const struct table *table, int thresholds)
{
    puts("IP Virtual Server version 1.2.1 (size=4096)");
    puts(thresholds ? "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn"
                    : "Prot LocalAddress:Port Scheduler Flags");
    puts(thresholds ? "  -> RemoteAddress:Port"
                    : "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn");
    for (int i = 0; i < table->services; i++) {
        const struct service *service = &table->service[i];
        if (!*service->name)
            continue;
        printf("%s %s%s\n", service->name, service->scheduler, service->flags);
        for (int row = service->first; row; row = table->row[row].next)
            print_row(&table->row[row], thresholds);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct call call = parsed(argc, argv);
    if (call.command == 'L') {
        note("read");
        return list(opened(LOCK_SH), call.thresholds);
    }
    char name[ADDRESS], address[ADDRESS] = "";
    snprintf(name, sizeof name, "%s  %s%s", call.protocol, call.address,
             call.v6 && !strcmp(call.protocol, "FWM") ? " IPv6" : "");
    int on_row = strchr("aed", call.command) != 0;
    if (on_row)
        endpoint(&call, address);
    struct table *table = opened(LOCK_EX);
    const char *wrong = on_row ? change_row(table, &call, name, address) : change_service(table, &call, name);
    note("%s-%c %s %s %u", wrong ? "refused " : "", call.command, call.address, on_row ? address : "-", call.weight);
    if (wrong)
        die(FAILED, wrong);
    return 0;
}
