/* PID 1 of a runner that does not do what an agent should: which, its host's name says. Static, so
 * that it runs in any root.
 */
#include "../../../src/common/agent_wire.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void say_hello(int fd, uint32_t version)
{
    const struct agent_hello hello = {.version = version};
    unsigned char frame[FRAME_HEADER_LEN + 64];
    size_t len = agent_hello_encode(&hello, frame + FRAME_HEADER_LEN, 64);
    frame_put_header(frame, FRAME_AGENT_HELLO, 0, (uint32_t)len);
    if (send(fd, frame, FRAME_HEADER_LEN + len, MSG_NOSIGNAL) < 0)
        exit(1);
}

int main(void)
{
    char name[64] = "";
    struct sockaddr_un address = {.sun_family = AF_UNIX,
                                  .sun_path = AGENT_SOCKET_DIR "/" AGENT_SOCKET_NAME};
    gethostname(name, sizeof(name) - 1);
    if (strcmp(name, "ends-at-once") == 0)
        return 1;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (strcmp(name, "silent") != 0 &&
        connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        return 1;
    if (strcmp(name, "other-version") == 0)
        say_hello(fd, 99);
    if (strcmp(name, "garbage") == 0 && write(fd, "GET / HTTP/1.1\r\n", 16) < 0)
        return 1;
    if (strcmp(name, "hello-twice") == 0) {
        say_hello(fd, AGENT_PROTOCOL);
        say_hello(fd, AGENT_PROTOCOL);
    }
    if (strcmp(name, "hello-then-leaves") == 0) {
        say_hello(fd, AGENT_PROTOCOL);
        close(fd);
    }
    for (;;)
        pause();
}
