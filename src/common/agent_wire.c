#include "agent_wire.h"

static const char *const stage_texts[AGENT_STAGE_COUNT] = {
    [AGENT_STAGE_PROTOCOL] = "understand the operation",
    [AGENT_STAGE_LIMIT] = "start another operation at the same time",
    [AGENT_STAGE_FILE] = "write the program's files",
    [AGENT_STAGE_PIPE] = "make pipes for the program",
    [AGENT_STAGE_FORK] = "start a process",
    [AGENT_STAGE_CGROUP] = "join the run's cgroup",
    [AGENT_STAGE_CWD] = "enter the working directory",
    [AGENT_STAGE_USER] = "give up root",
    [AGENT_STAGE_EXEC] = "execute the program",
};

const char *agent_stage_text(uint32_t stage)
{
    if (stage >= AGENT_STAGE_COUNT || !stage_texts[stage])
        return "do something unknown";
    return stage_texts[stage];
}

static struct wire_writer writer_over(void *payload, size_t room)
{
    return (struct wire_writer){.data = payload, .room = room};
}

static size_t written(const struct wire_writer *writer)
{
    return writer->full ? 0 : writer->len;
}

static struct wire_reader reader_over(const void *payload, size_t len)
{
    return (struct wire_reader){.at = payload, .left = len};
}

size_t agent_hello_encode(const struct agent_hello *msg, void *payload, size_t room)
{
    struct wire_writer writer = writer_over(payload, room);
    wire_write_u32(&writer, msg->version);
    wire_write_u32(&writer, msg->operations);
    return written(&writer);
}

bool agent_hello_decode(const void *payload, size_t len, struct agent_hello *msg)
{
    struct wire_reader reader = reader_over(payload, len);
    msg->version = wire_read_u32(&reader);
    msg->operations = wire_read_u32(&reader);
    return wire_read_done(&reader);
}

size_t agent_open_encode(const struct agent_open *msg, void *payload, size_t room)
{
    struct wire_writer writer = writer_over(payload, room);
    wire_write_u32(&writer, msg->id);
    if (msg->output_bytes != AGENT_OUTPUT_ALL)
        wire_write_u64(&writer, msg->output_bytes);
    return written(&writer);
}

bool agent_open_decode(const void *payload, size_t len, struct agent_open *msg)
{
    struct wire_reader reader = reader_over(payload, len);
    msg->id = wire_read_u32(&reader);
    msg->output_bytes = reader.left > 0 ? wire_read_u64(&reader) : AGENT_OUTPUT_ALL;
    return wire_read_done(&reader);
}

static bool file_in_bounds(const struct agent_file *msg)
{
    return (msg->flags & ~(uint32_t)AGENT_EXEC_ROOT) == 0 && msg->mode <= 0777 &&
           msg->unlink_after <= 1;
}

size_t agent_file_encode(const struct agent_file *msg, void *payload, size_t room)
{
    if (!file_in_bounds(msg))
        return 0;
    struct wire_writer writer = writer_over(payload, room);
    wire_write_u32(&writer, msg->flags);
    wire_write_u32(&writer, msg->mode);
    wire_write_u32(&writer, msg->unlink_after);
    wire_write_str(&writer, msg->folder);
    wire_write_str(&writer, msg->name);
    return written(&writer);
}

bool agent_file_decode(const void *payload, size_t len, struct agent_file *msg)
{
    struct wire_reader reader = reader_over(payload, len);
    msg->flags = wire_read_u32(&reader);
    msg->mode = wire_read_u32(&reader);
    msg->unlink_after = wire_read_u32(&reader);
    msg->folder = wire_read_str(&reader);
    msg->name = wire_read_str(&reader);
    return wire_read_done(&reader) && file_in_bounds(msg);
}

static bool folder_in_bounds(const struct agent_folder *msg)
{
    return (msg->flags & ~(uint32_t)AGENT_EXEC_ROOT) == 0 && msg->end < AGENT_FOLDER_ENDS;
}

size_t agent_folder_encode(const struct agent_folder *msg, void *payload, size_t room)
{
    if (!folder_in_bounds(msg))
        return 0;
    struct wire_writer writer = writer_over(payload, room);
    wire_write_u32(&writer, msg->flags);
    wire_write_u32(&writer, msg->end);
    wire_write_str(&writer, msg->folder);
    wire_write_str(&writer, msg->name);
    return written(&writer);
}

bool agent_folder_decode(const void *payload, size_t len, struct agent_folder *msg)
{
    struct wire_reader reader = reader_over(payload, len);
    msg->flags = wire_read_u32(&reader);
    msg->end = wire_read_u32(&reader);
    msg->folder = wire_read_str(&reader);
    msg->name = wire_read_str(&reader);
    return wire_read_done(&reader) && folder_in_bounds(msg);
}

static bool signal_in_bounds(uint32_t signal, uint32_t group)
{
    return signal >= 1 && signal <= AGENT_SIGNAL_MAX && group <= 1;
}

size_t agent_signal_encode(const struct agent_signal *msg, void *payload, size_t room)
{
    if (!signal_in_bounds(msg->signal, msg->group))
        return 0;
    struct wire_writer writer = writer_over(payload, room);
    wire_write_u32(&writer, msg->signal);
    wire_write_u32(&writer, msg->group);
    return written(&writer);
}

bool agent_signal_decode(const void *payload, size_t len, struct agent_signal *msg)
{
    struct wire_reader reader = reader_over(payload, len);
    msg->signal = wire_read_u32(&reader);
    msg->group = wire_read_u32(&reader);
    return wire_read_done(&reader) && signal_in_bounds(msg->signal, msg->group);
}

size_t agent_op_signal_encode(const struct agent_op_signal *msg, void *payload, size_t room)
{
    if (!signal_in_bounds(msg->signal, msg->group))
        return 0;
    struct wire_writer writer = writer_over(payload, room);
    wire_write_u32(&writer, msg->id);
    wire_write_u32(&writer, msg->signal);
    wire_write_u32(&writer, msg->group);
    return written(&writer);
}

bool agent_op_signal_decode(const void *payload, size_t len, struct agent_op_signal *msg)
{
    struct wire_reader reader = reader_over(payload, len);
    msg->id = wire_read_u32(&reader);
    msg->signal = wire_read_u32(&reader);
    msg->group = wire_read_u32(&reader);
    return wire_read_done(&reader) && signal_in_bounds(msg->signal, msg->group);
}

size_t agent_started_encode(const struct agent_started *msg, void *payload, size_t room)
{
    struct wire_writer writer = writer_over(payload, room);
    wire_write_u32(&writer, msg->pid);
    return written(&writer);
}

bool agent_started_decode(const void *payload, size_t len, struct agent_started *msg)
{
    struct wire_reader reader = reader_over(payload, len);
    msg->pid = wire_read_u32(&reader);
    return wire_read_done(&reader);
}

static bool exit_in_bounds(const struct agent_exit *msg)
{
    return msg->exit <= (msg->signal ? 0 : 255) && msg->signal <= AGENT_SIGNAL_MAX;
}

size_t agent_exit_encode(const struct agent_exit *msg, void *payload, size_t room)
{
    if (!exit_in_bounds(msg))
        return 0;
    struct wire_writer writer = writer_over(payload, room);
    wire_write_u32(&writer, msg->exit);
    wire_write_u32(&writer, msg->signal);
    wire_write_u64(&writer, msg->user_us);
    wire_write_u64(&writer, msg->system_us);
    wire_write_u64(&writer, msg->max_rss_bytes);
    wire_write_u64(&writer, msg->wall_us);
    return written(&writer);
}

bool agent_exit_decode(const void *payload, size_t len, struct agent_exit *msg)
{
    struct wire_reader reader = reader_over(payload, len);
    msg->exit = wire_read_u32(&reader);
    msg->signal = wire_read_u32(&reader);
    msg->user_us = wire_read_u64(&reader);
    msg->system_us = wire_read_u64(&reader);
    msg->max_rss_bytes = wire_read_u64(&reader);
    msg->wall_us = wire_read_u64(&reader);
    return wire_read_done(&reader) && exit_in_bounds(msg);
}

size_t agent_failed_encode(const struct agent_failed *msg, void *payload, size_t room)
{
    struct wire_writer writer = writer_over(payload, room);
    wire_write_u32(&writer, msg->stage);
    wire_write_u32(&writer, msg->sys_errno);
    return written(&writer);
}

bool agent_failed_decode(const void *payload, size_t len, struct agent_failed *msg)
{
    struct wire_reader reader = reader_over(payload, len);
    msg->stage = wire_read_u32(&reader);
    msg->sys_errno = wire_read_u32(&reader);
    return wire_read_done(&reader);
}

static bool found_in_bounds(const struct agent_found *msg)
{
    return msg->kind < AGENT_FOUND_KINDS && msg->mode <= 0777 && msg->size_bytes <= INT64_MAX;
}

size_t agent_found_encode(const struct agent_found *msg, void *payload, size_t room)
{
    if (!found_in_bounds(msg))
        return 0;
    struct wire_writer writer = writer_over(payload, room);
    wire_write_u32(&writer, msg->kind);
    wire_write_u32(&writer, msg->mode);
    wire_write_u64(&writer, msg->size_bytes);
    wire_write_str(&writer, msg->path);
    return written(&writer);
}

bool agent_found_decode(const void *payload, size_t len, struct agent_found *msg)
{
    struct wire_reader reader = reader_over(payload, len);
    msg->kind = wire_read_u32(&reader);
    msg->mode = wire_read_u32(&reader);
    msg->size_bytes = wire_read_u64(&reader);
    msg->path = wire_read_str(&reader);
    return wire_read_done(&reader) && found_in_bounds(msg);
}

size_t agent_collected_encode(const struct agent_collected *msg, void *payload, size_t room)
{
    struct wire_writer writer = writer_over(payload, room);
    wire_write_u32(&writer, msg->cut);
    return msg->cut <= 1 ? written(&writer) : 0;
}

bool agent_collected_decode(const void *payload, size_t len, struct agent_collected *msg)
{
    struct wire_reader reader = reader_over(payload, len);
    msg->cut = wire_read_u32(&reader);
    return wire_read_done(&reader) && msg->cut <= 1;
}

static bool exec_in_bounds(const struct agent_exec *msg)
{
    return (msg->flags & ~(uint32_t)(AGENT_EXEC_ROOT | AGENT_EXEC_CGROUP)) == 0 && msg->argc >= 1 &&
           msg->argc <= AGENT_ARGV_MAX && msg->envc <= AGENT_ENV_MAX;
}

size_t agent_exec_encode(const struct agent_exec *msg, void *payload, size_t room)
{
    if (!exec_in_bounds(msg))
        return 0;
    struct wire_writer writer = writer_over(payload, room);
    wire_write_u32(&writer, msg->flags);
    wire_write_str(&writer, msg->cwd);
    wire_write_u32(&writer, msg->argc);
    wire_write_u32(&writer, msg->envc);
    for (uint32_t i = 0; i < msg->argc; i++)
        wire_write_str(&writer, msg->argv[i]);
    for (uint32_t i = 0; i < msg->envc; i++)
        wire_write_str(&writer, msg->env[i]);
    return written(&writer);
}

bool agent_exec_decode(const void *payload, size_t len, struct agent_exec *msg)
{
    struct wire_reader reader = reader_over(payload, len);
    msg->flags = wire_read_u32(&reader);
    msg->cwd = wire_read_str(&reader);
    msg->argc = wire_read_u32(&reader);
    msg->envc = wire_read_u32(&reader);
    if (!exec_in_bounds(msg))
        return false;
    for (uint32_t i = 0; i < msg->argc; i++)
        msg->argv[i] = wire_read_str(&reader);
    for (uint32_t i = 0; i < msg->envc; i++)
        msg->env[i] = wire_read_str(&reader);
    msg->argv[msg->argc] = NULL;
    msg->env[msg->envc] = NULL;
    return wire_read_done(&reader);
}
