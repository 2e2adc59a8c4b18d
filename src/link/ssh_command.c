#include "../common/fd.h"
#include "../common/mem.h"
#include "ssh.h"
#include "ssh_child.h"
#include "ssh_words.h"

#include <unistd.h>

/* How it works. With a pinned key that the host did not show there are further tries, one for each
 * other family of keys: the host may have several. Nothing has been sent by then, so stdin is where
 * it was.
 */
struct ssh_command {
    uv_loop_t *loop;
    struct worker_spec spec;
    char *config, *command;
    int input;
    const struct ssh_command_ops *ops;
    void *data;
    struct ssh_child *child;
    struct ssh_story story, refusal; /* refusal: of the first family whose key was not the one */
    unsigned family;
};

static int start(struct ssh_command *command, struct err *err);

static void on_line(bool is_err, const char *line, void *data)
{
    struct ssh_command *command = data;
    if (is_err)
        ssh_story_line(&command->story, line);
    else if (command->ops->on_line)
        command->ops->on_line(line, command->data);
}

static void on_ended(int64_t exit_status, int signal, void *data)
{
    struct ssh_command *command = data;
    struct err err = {0};
    ssh_child_destroy(command->child);
    command->child = NULL;
    bool silent = ssh_story_silent(&command->story, command->family, exit_status);
    bool refused = command->story.key_refused || silent;
    if (command->story.key_refused && !command->refusal.key_refused)
        command->refusal = command->story;
    if (refused && command->spec.host_key[0] && command->family + 1 < SSH_FAMILIES) {
        command->family++;
        if (start(command, &err) == 0)
            return;
    } else if (refused && command->refusal.key_refused) {
        command->story = command->refusal;
        ssh_story_explain(&command->story, &command->spec, exit_status, signal, &err);
    } else if (signal != 0 || exit_status == SSH_FAILED) {
        ssh_story_explain(&command->story, &command->spec, exit_status, signal, &err);
    }
    command->ops->on_done((int)exit_status, err.msg[0] ? &err : NULL, command->data);
}

static const struct ssh_child_ops child_ops = {.on_line = on_line, .on_ended = on_ended};

static int start(struct ssh_command *command, struct err *err)
{
    const struct ssh_request request = {
        .spec = &command->spec,
        .config = command->config,
        .family = command->family,
        .command = command->command,
    };
    char **words = ssh_words(&request);
    command->story = (struct ssh_story){0};
    command->child =
        ssh_child_start(command->loop, words, command->input, &child_ops, command, err);
    ssh_words_free(words);
    return command->child ? 0 : -1;
}

struct ssh_command *ssh_command_start(uv_loop_t *loop, const struct worker_spec *spec,
                                      const struct ssh_place *place, const char *text,
                                      int take_input, const struct ssh_command_ops *ops, void *data,
                                      struct err *err)
{
    struct ssh_command *command = mem_new(struct ssh_command);
    command->loop = loop;
    command->spec = *spec;
    command->config = mem_strdup(place->config);
    command->command = mem_strdup(text);
    command->input = take_input;
    command->ops = ops;
    command->data = data;
    if (start(command, err) != 0) {
        ssh_command_destroy(command);
        return NULL;
    }
    return command;
}

void ssh_command_destroy(struct ssh_command *command)
{
    if (!command)
        return;
    ssh_child_destroy(command->child);
    fd_close(&command->input);
    free(command->config);
    free(command->command);
    free(command);
}

const char *ssh_command_key(const struct ssh_command *command)
{
    return command->story.key_refused ? command->story.key : "";
}

const char *ssh_command_key_type(const struct ssh_command *command)
{
    return command->story.key_type;
}

int64_t ssh_command_sent(const struct ssh_command *command)
{
    off_t at = command->input >= 0 ? lseek(command->input, 0, SEEK_CUR) : 0;
    return at > 0 ? at : 0;
}

const char *ssh_command_last_line(const struct ssh_command *command)
{
    return command->story.last_line;
}
