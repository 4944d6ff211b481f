/* Lets an unmodified keepalived run its checkers where the kernel has no IPVS, so that only probing is measured.
 *
 * Built with `gcc -O2 -shared -fPIC -o notable.so notable.c -ldl` and put in front by LD_PRELOAD, it answers the socket
 * options of the table (linux/ip_vs.h, IP_VS_SO_*) with success and an empty table, and passes everything else on.
 * keepalived turns to these options when it finds no IPVS family in generic netlink. IPv4 only. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/ip_vs.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

typedef int (*setter)(int, int, int, const void *, socklen_t);
typedef int (*getter)(int, int, int, void *, socklen_t *);

static int is_table(int level, int option)
{
    return level == IPPROTO_IP && option >= IP_VS_BASE_CTL && option <= IP_VS_SO_SET_MAX;
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
    if (is_table(level, option))
        return 0;
    return ((setter)dlsym(RTLD_NEXT, "setsockopt"))(fd, level, option, value, length);
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
    if (!is_table(level, option))
        return ((getter)dlsym(RTLD_NEXT, "getsockopt"))(fd, level, option, value, length);
    memset(value, 0, *length);
    if (option == IP_VS_SO_GET_INFO && *length >= sizeof(struct ip_vs_getinfo)) {
        struct ip_vs_getinfo *info = value;
        info->version = 0x010201;
        info->size = 4096;
    }
    return 0;
}
