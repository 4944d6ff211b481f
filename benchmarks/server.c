/* A server for benchmarks/engine.py: accepts and closes (tcp), answers 200 (http), echoes datagrams (dns).
 * Listens on any address and a free port, which it prints. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";

static void echo(int fd)
{
    char data[4096];
    struct sockaddr_in peer;
    struct iovec part = { data, sizeof data };
    char control[256];
    for (;;) {
        struct msghdr m = { &peer, sizeof peer, &part, 1, control, sizeof control, 0 };
        part.iov_len = sizeof data;
        ssize_t n = recvmsg(fd, &m, 0);
        if (n < 0)
            continue;
        part.iov_len = n;   /* IP_PKTINFO goes back as it came, so the answer leaves from the address asked */
        sendmsg(fd, &m, 0);
    }
}

static void serve(int listener, int http)
{
    struct epoll_event events[256], add;
    int ep = epoll_create1(0);
    add.events = EPOLLIN;
    add.data.fd = listener;
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &add);
    for (;;) {
        int n = epoll_wait(ep, events, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                int c;
                while ((c = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    add.events = EPOLLIN | EPOLLRDHUP;
                    add.data.fd = c;
                    epoll_ctl(ep, EPOLL_CTL_ADD, c, &add);
                }
                continue;
            }
            char data[4096];
            ssize_t got = read(fd, data, sizeof data);
            if (http && got > 0)
                send(fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL);
            if (got <= 0)
                close(fd);
        }
    }
}

int main(int argc, char **argv)
{
    int dns = argc > 1 && !strcmp(argv[1], "dns"), one = 1;
    int fd = socket(AF_INET, (dns ? SOCK_DGRAM : SOCK_STREAM | SOCK_NONBLOCK), 0);
    struct sockaddr_in me = { .sin_family = AF_INET };
    socklen_t size = sizeof me;
    if (fd < 0 || bind(fd, (struct sockaddr *)&me, sizeof me) || getsockname(fd, (struct sockaddr *)&me, &size))
        return 1;
    printf("%d\n", ntohs(me.sin_port));
    fflush(stdout);
    if (dns) {
        int room = 4 << 20;
        setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof one);
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        echo(fd);
    }
    listen(fd, 4096);
    serve(fd, argc > 1 && !strcmp(argv[1], "http"));
}
