/* The script that script checks run: adds one to the counter in the file named by its first argument, and succeeds. */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
    int fd = open(argc > 1 ? argv[1] : "counter", O_RDWR);
    atomic_ulong *counter = mmap(0, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || counter == MAP_FAILED)
        return 1;
    atomic_fetch_add(counter, 1);
    return 0;
}
