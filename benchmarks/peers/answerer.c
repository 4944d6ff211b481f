/* The servers that are asked: answerer tcp|http|dns [PORT] listens on every address and says its port.
 *
 * tcp accepts and waits for the peer to close; http answers one GET with 200 and closes; dns answers a question with one
 * A record.
 * For every line on standard input it says how many probes it has served, so that all contestants are counted alike. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 256, ROOM = 4096, HEADER = 12 };

static const char PAGE[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
static const unsigned char RECORD[] = {0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1};
static unsigned long served;

static int watch(int epoll, int fd, unsigned events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int listener(int kind, int port)
{
    int fd = socket(AF_INET, kind | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t length = sizeof here;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    on = 8 << 20;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &on, sizeof on) < 0)  /* beyond net.core.rmem_max, as root */
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&here, sizeof here) < 0 || (kind == SOCK_STREAM && listen(fd, 4096) < 0)) {
        perror("answerer");
        exit(1);
    }
    getsockname(fd, (struct sockaddr *)&here, &length);
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    return fd;
}

/* The question with QR and RA set, one answer, and nothing after the question section. */
static ssize_t answered(unsigned char *data, ssize_t length)
{
    ssize_t end = HEADER;
    while (end < length && data[end])
        end += data[end] + 1;
    end += 5;
    if (end > length || end + (ssize_t)sizeof RECORD > ROOM)
        return 0;
    data[2] |= 0x80;
    data[3] = 0x80;
    memset(data + 6, 0, 6);
    data[7] = 1;
    memcpy(data + end, RECORD, sizeof RECORD);
    return end + sizeof RECORD;
}

/* IP_PKTINFO goes back as it came, so an answer leaves from the address that was asked. */
static void answer_datagrams(int fd)
{
    for (;;) {
        struct sockaddr_in peer;
        unsigned char data[ROOM];
        char control[256];
        struct iovec part = {data, sizeof data};
        struct msghdr message = {&peer, sizeof peer, &part, 1, control, sizeof control, 0};
        ssize_t got = recvmsg(fd, &message, 0);
        if (got < 0)
            return;
        part.iov_len = answered(data, got);
        if (part.iov_len && sendmsg(fd, &message, 0) >= 0)
            served++;
    }
}

static void accept_all(int epoll, int listening)
{
    int fd;
    while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        served++;
        watch(epoll, fd, EPOLLIN | EPOLLRDHUP);
    }
}

static void answer_stream(int fd, int http)
{
    char data[ROOM];
    ssize_t got = read(fd, data, sizeof data);
    if (got > 0 && http)
        send(fd, PAGE, sizeof PAGE - 1, MSG_NOSIGNAL);
    if (got <= 0 || http) /* keepalived takes an answer for complete only at its end */
        close(fd);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "tcp";
    int datagrams = !strcmp(what, "dns"), http = !strcmp(what, "http");
    int fd = listener(datagrams ? SOCK_DGRAM : SOCK_STREAM, argc > 2 ? atoi(argv[2]) : 0);
    int epoll = epoll_create1(0);
    struct epoll_event events[BATCH];
    watch(epoll, fd, EPOLLIN);
    watch(epoll, STDIN_FILENO, EPOLLIN);
    for (;;) {
        int count = epoll_wait(epoll, events, BATCH, -1);
        for (int i = 0; i < count; i++) {
            char line[64];
            if (events[i].data.fd == STDIN_FILENO) {
                if (read(STDIN_FILENO, line, sizeof line) <= 0)
                    return 0;
                printf("%lu\n", served);
                fflush(stdout);
            } else if (events[i].data.fd == fd) {
                datagrams ? answer_datagrams(fd) : accept_all(epoll, fd);
            } else {
                answer_stream(events[i].data.fd, http);
            }
        }
    }
}
