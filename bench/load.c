/* A load generator: sends one request over and over and keeps every latency.
 *
 * How it works. One thread, one epoll, N connections with at most one request each.
 *
 * Closed loop (no --rate): a connection sends the next request when the last one's answer is there,
 * so the server is as busy as it can be and sets the pace.
 *
 * Open loop (--rate R): requests are due R times a second whatever the server does, or with --burst
 * B, B of them at once R / B times a second. A request that is due while all connections are busy
 * waits here, and its latency counts from when it was due: a server that stalls cannot hide behind
 * a client that waits for it.
 *
 * A latency ends with the answer's last byte. Only answers with status 200 that hold the expected
 * text have one; the others are counted. Frames (the worker's link) take a connection each, as the
 * manager does it, and connecting is part of the latency.
 */
#include "answer.h"
#include "samples.h"

#include "../src/common/fd.h"
#include "../src/common/mem.h"
#include "../src/common/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CONNECTIONS_MAX 1024
#define ANSWER_MAX (16 * 1024 * 1024)
#define FIELDS_MAX 8
#define STATUS_MAX 600
#define END_US (30 * (mono_us)US_PER_SEC) /* how long the last answers may take */

struct options {
    const char *target, *expect;
    enum answer_protocol protocol;
    long connections, burst;
    long long requests; /* 0: as many as fit into seconds */
    double rate, seconds;
    const char *fields[FIELDS_MAX];
    size_t fields_len;
    char *request;
    size_t request_len;
};

struct conn {
    int fd;
    bool busy;
    mono_us due; /* of the request that it carries */
    size_t sent;
    struct buf received;
};

static struct {
    struct options options;
    int epoll;
    struct conn conns[CONNECTIONS_MAX];
    long idle;
    mono_us begin, last;
    long long begun; /* requests sent, or waiting for a connection to become free */
    long long answered, wrong, broken;
    long long by_status[STATUS_MAX];
    struct samples latency, fields[FIELDS_MAX];
} load;

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "no such thing");
    exit(1);
}

static mono_us now_us(void)
{
    return clock_now(&clock_system);
}

/* ---- connections ---- */

static int connect_target(void)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in inet = {.sin_family = AF_INET};
    char host[64];
    unsigned port;
    bool is_local = load.options.protocol == ANSWER_FRAMES;
    const char *target = load.options.target;
    if (is_local && !str_format(local.sun_path, sizeof(local.sun_path), "%s", target))
        die(target);
    if (!is_local && (sscanf(target, "%63[0-9.]:%u", host, &port) != 2 || port > UINT16_MAX ||
                      inet_pton(AF_INET, host, &inet.sin_addr) != 1))
        die("--http wants ADDRESS:PORT");
    if (!is_local)
        inet.sin_port = htons((uint16_t)port);
    int fd = socket(is_local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, is_local ? (void *)&local : (void *)&inet,
                          is_local ? sizeof(local) : sizeof(inet)) != 0)
        die(target);
    if (!is_local)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    fd_set_nonblock(fd, true);
    return fd;
}

static void watch(struct conn *conn, bool writing)
{
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = conn};
    if (epoll_ctl(load.epoll, EPOLL_CTL_MOD, conn->fd, &event) != 0)
        die("epoll");
}

static void open_conn(struct conn *conn)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    conn->fd = connect_target();
    if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, conn->fd, &event) != 0)
        die("epoll");
    buf_clear(&conn->received);
}

static void send_more(struct conn *conn)
{
    bool was_behind = conn->sent > 0;
    while (conn->sent < load.options.request_len) {
        ssize_t len = send(conn->fd, load.options.request + conn->sent,
                           load.options.request_len - conn->sent, MSG_NOSIGNAL);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            break; /* full, or broken: then reading says so */
        conn->sent += (size_t)len;
    }
    bool behind = conn->sent < load.options.request_len;
    if (behind || was_behind)
        watch(conn, behind);
}

static void begin_request(struct conn *conn, mono_us due)
{
    if (conn->fd < 0)
        open_conn(conn);
    conn->busy = true;
    conn->due = due;
    conn->sent = 0;
    load.idle--;
    send_more(conn);
}

static void end_request(struct conn *conn)
{
    if (!conn->busy)
        return;
    conn->busy = false;
    load.idle++;
}

/* ---- answers ---- */

static void record(const struct conn *conn, const struct answer *answer)
{
    load.last = now_us();
    load.answered++;
    load.by_status[answer->status >= 0 && answer->status < STATUS_MAX ? answer->status : 0]++;
    if (answer->status != 200)
        return;
    if (!answer->as_expected) {
        load.wrong++;
        return;
    }
    samples_add(&load.latency, (double)(load.last - conn->due) / US_PER_MS);
    for (size_t i = 0; i < load.options.fields_len; i++) {
        double number;
        if (answer_number(answer, load.options.fields[i], &number))
            samples_add(&load.fields[i], number);
    }
}

static void drop_conn(struct conn *conn)
{
    fd_close(&conn->fd);
    end_request(conn);
}

static void on_readable(struct conn *conn)
{
    char bytes[65536];
    ssize_t len = recv(conn->fd, bytes, sizeof(bytes), 0);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    struct answer answer;
    if (len > 0 && !buf_append(&conn->received, bytes, (size_t)len))
        len = -1;
    int found =
        len > 0 ? answer_find(load.options.protocol, &conn->received, load.options.expect, &answer)
                : -1;
    if (found < 0) {
        load.broken += conn->busy;
        drop_conn(conn);
        return;
    }
    if (found == 0 || !conn->busy)
        return;
    record(conn, &answer);
    buf_drop(&conn->received, answer.used);
    if (load.options.protocol == ANSWER_FRAMES)
        fd_close(&conn->fd);
    end_request(conn);
}

/* ---- the pace ---- */

static bool all_begun(mono_us now)
{
    const struct options *options = &load.options;
    if (options->requests > 0 && load.begun >= options->requests)
        return true;
    return options->seconds > 0 && now - load.begin >= (mono_us)(options->seconds * US_PER_SEC);
}

/* When the next request is due; in a closed loop that is always now. */
static mono_us next_due(mono_us now)
{
    const struct options *options = &load.options;
    if (options->rate <= 0)
        return now;
    long long group = load.begun / options->burst;
    return load.begin +
           (mono_us)((double)(group * options->burst) / options->rate * (double)US_PER_SEC);
}

static struct conn *idle_conn(void)
{
    for (long i = 0; i < load.options.connections; i++)
        if (!load.conns[i].busy)
            return &load.conns[i];
    return NULL;
}

/* Begins what is due. Returns how long to wait for the next event, -1: for answers only. */
static mono_us begin_due(void)
{
    for (;;) {
        mono_us now = now_us(), due = next_due(now);
        if (all_begun(now))
            return -1;
        if (due > now)
            return due - now;
        if (load.idle == 0)
            return -1;
        load.begun++;
        begin_request(idle_conn(), due);
    }
}

static void run(void)
{
    mono_us give_up = 0;
    load.begin = load.last = now_us();
    for (;;) {
        struct epoll_event events[64];
        mono_us wait = begin_due();
        mono_us now = now_us();
        if (all_begun(now)) {
            give_up = give_up ? give_up : now + END_US;
            if (load.idle == load.options.connections || now >= give_up)
                return;
            wait = give_up - now;
        }
        const struct timespec timeout = {.tv_sec = wait / US_PER_SEC,
                                         .tv_nsec = wait % US_PER_SEC * 1000};
        int count = epoll_pwait2(load.epoll, events, 64, wait < 0 ? NULL : &timeout, NULL);
        for (int i = 0; i < count; i++) {
            struct conn *conn = events[i].data.ptr;
            if (events[i].events & EPOLLOUT)
                send_more(conn);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                on_readable(conn);
        }
    }
}

/* ---- options and report ---- */

static void print_report(void)
{
    json_t *status = json_object(), *fields = json_object();
    for (int i = 0; i < STATUS_MAX; i++) {
        char name[16];
        if (load.by_status[i] > 0 && str_format(name, sizeof(name), "%d", i))
            json_object_set_new(status, name, json_integer(load.by_status[i]));
    }
    for (size_t i = 0; i < load.options.fields_len; i++)
        json_object_set_new(fields, load.options.fields[i], samples_json(&load.fields[i]));
    double seconds = (double)(load.last - load.begin) / US_PER_SEC;
    json_t *report = json_pack(
        "{s:i, s:f, s:i, s:f, s:f, s:o, s:o, s:o, s:I, s:I, s:i}", "connections",
        (int)load.options.connections, "rate", load.options.rate, "burst", (int)load.options.burst,
        "seconds", seconds, "perSecond", seconds > 0 ? (double)load.latency.len / seconds : 0,
        "latencyMs", samples_json(&load.latency), "status", status, "fields", fields, "wrong",
        (json_int_t)load.wrong, "broken", (json_int_t)load.broken, "unanswered",
        (int)(load.options.connections - load.idle));
    char *text = json_dumps(report, JSON_COMPACT | JSON_REAL_PRECISION(6));
    puts(text);
    free(text);
    json_decref(report);
}

static void read_request(struct options *options, const char *path)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct buf text;
    char bytes[4096];
    ssize_t len = -1;
    buf_init(&text, 1024 * 1024);
    while (fd >= 0 && (len = read(fd, bytes, sizeof(bytes))) > 0)
        if (!buf_append(&text, bytes, (size_t)len))
            die(path);
    if (len < 0 || text.len == 0)
        die(path);
    options->request_len = text.len;
    options->request = buf_steal(&text);
}

_Noreturn static void usage(void)
{
    fputs("usage: load (--http ADDRESS:PORT | --link SOCKET) --request FILE [--connections N]\n"
          "            [--requests N] [--seconds S] [--rate PER_SECOND [--burst N]]\n"
          "            [--expect TEXT] [--field NAME]...\n"
          "FILE is sent as it is, once per request. Prints one line of JSON.\n",
          stderr);
    exit(2);
}

static double number(const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= least && value <= most)) {
        fprintf(stderr, "load: \"%s\" is not within %g to %g\n", text, least, most);
        exit(2);
    }
    return value;
}

static void parse(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {
        {"http", 1, 0, 'h'},
        {"link", 1, 0, 'l'},
        {"request", 1, 0, 'r'},
        {"connections", 1, 0, 'c'},
        {"requests", 1, 0, 'n'},
        {"seconds", 1, 0, 's'},
        {"rate", 1, 0, 'R'},
        {"burst", 1, 0, 'b'},
        {"expect", 1, 0, 'e'},
        {"field", 1, 0, 'f'},
        {0},
    };
    *options = (struct options){.connections = 1, .burst = 1};
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (option == 'h' || option == 'l') {
            options->target = optarg;
            options->protocol = option == 'h' ? ANSWER_HTTP : ANSWER_FRAMES;
        } else if (option == 'r') {
            read_request(options, optarg);
        } else if (option == 'c') {
            options->connections = (long)number(optarg, 1, CONNECTIONS_MAX);
        } else if (option == 'n') {
            options->requests = (long long)number(optarg, 1, 1e9);
        } else if (option == 's') {
            options->seconds = number(optarg, 0.001, 86400);
        } else if (option == 'R') {
            options->rate = number(optarg, 0.001, 1e6);
        } else if (option == 'b') {
            options->burst = (long)number(optarg, 1, CONNECTIONS_MAX);
        } else if (option == 'e') {
            options->expect = optarg;
        } else if (option == 'f' && options->fields_len < FIELDS_MAX) {
            options->fields[options->fields_len++] = optarg;
        } else {
            usage();
        }
    }
    if (!options->target || !options->request || optind < argc ||
        (options->requests == 0 && options->seconds <= 0))
        usage();
}

int main(int argc, char **argv)
{
    parse(&load.options, argc, argv);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    for (long i = 0; i < load.options.connections; i++) {
        load.conns[i].fd = -1;
        buf_init(&load.conns[i].received, ANSWER_MAX);
        if (load.options.protocol == ANSWER_HTTP)
            open_conn(&load.conns[i]);
    }
    load.idle = load.options.connections;
    run();
    print_report();
    for (long i = 0; i < load.options.connections; i++) {
        fd_close(&load.conns[i].fd);
        buf_finish(&load.conns[i].received);
    }
    samples_finish(&load.latency);
    for (size_t i = 0; i < load.options.fields_len; i++)
        samples_finish(&load.fields[i]);
    free(load.options.request);
    close(load.epoll);
    return 0;
}
