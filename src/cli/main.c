#include "verbs.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define SETTINGS_HELP                                                                              \
    "  --config FILE            read the settings from FILE (/etc/codeland/codeland.conf)\n"       \
    "  --set SECTION.KEY=VALUE  change one setting, e.g. --set http.listen=127.0.0.1:9000\n"

static const struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage, *summary, *help;
} verbs[] = {
    {"up", cli_up, "codeland up [OPTION]...",
     "start everything on this machine and keep it running",
     "Makes the template on first use, starts the worker and the manager, waits until runners are\n"
     "warm, says hello through the API, and then supervises both until Ctrl-C. Needs root.\n\n"
     "Options:\n" SETTINGS_HELP},
    {"serve", cli_serve, "codeland serve [OPTION]...",
     "the manager alone: HTTP API, in front of workers",
     "Serves the HTTP API. `codeland up` starts it together with a worker.\n\n"
     "Options:\n" SETTINGS_HELP
     "  --check-config           read the settings, say what is wrong with them, and exit\n"},
    {"run", cli_run, "codeland run [OPTION]... FILE [ARGUMENT]...", "run a program over the API",
     "Runs FILE in a fresh runner, or in a named one, with this terminal's stdin and stdout, and\n"
     "exits as it exited: its code, 128 and the number of the signal that ended it, 124 when its "
     "time\n"
     "was over, 125 when it was not run to its end. Ctrl-C is the program's; a second one ends the "
     "run.\n\n"
     "Options:\n"
     "  --language NAME          instead of what the file's suffix says\n"
     "  --runner NAME            on the runner of that name\n"
     "  --time SECONDS           its wall clock\n"
     "  --memory BYTES           its memory\n"
     "  --address HOST:PORT      of the API (http.listen)\n"
     "  --token TOKEN            or the environment's CODELAND_TOKEN (the "
     "administrator's)\n" SETTINGS_HELP},
    {"template", cli_template,
     "codeland template build|rebuild|rm|export NAME | import FILE | ls [OPTION]...",
     "make, list, hand on and remove the root file systems of runners",
     "  build NAME          makes a template from its recipe and its languages' packages, unless "
     "it "
     "is\n"
     "                      up to date\n"
     "  rebuild NAME        makes it anew in any case, with the packages of today\n"
     "  rm NAME             removes it; runners that live on it go on\n"
     "  ls                  lists the templates of this machine\n"
     "  export NAME [FILE]  writes it as one archive, NAME.tar.zst; \"-\" is stdout\n"
     "  import FILE         makes a template of an archive; \"-\" is stdin\n"
     "      --as NAME       under another name than it had\n\n"
     "All but ls need root.\n\n"
     "Options:\n" SETTINGS_HELP},
    {"languages", cli_languages, "codeland languages ls | json | markdown [OPTION]...",
     "list the languages that runs may name",
     "  ls        a line for each\n"
     "  json      all that their files say, with the words that a fresh runner gets\n"
     "  markdown  prints docs/languages.md\n\n"
     "Options:\n" SETTINGS_HELP},
    {"selftest", cli_selftest,
     "codeland selftest [CASE | GROUP]... [--worker NAME] [--json | --list] [OPTION]...",
     "attack the workers and see that they hold",
     "Runs programs that try to break out, to starve the host and to disturb others, through the\n"
     "API of this machine, and says for each what was tried and what held. Exits with 0 when\n"
     "everything did. It costs the workers what an attack costs: up to two minutes of them.\n\n"
     "  --json  one object in place of a line for each\n"
     "  --list  the cases as a table, without running them\n\n"
     "Options:\n" SETTINGS_HELP},
    {"worker", cli_worker, "codeland worker add|doctor|show|rm|drain|resume NAME | ls [OPTION]...",
     "the machines that runs happen on",
     "  add NAME --ssh [USER@]HOST[:PORT]  checks the host, shows its key, makes it a worker\n"
     "      --identity FILE        the private key; the manager gets a copy of its own\n"
     "      --jump HOST[,HOST]...  the way there, as ssh -J\n"
     "      --accept-key SHA256:…  the host's key, instead of being asked\n"
     "      --socket PATH          of the worker there; without --ssh: on this machine\n"
     "      --install              installs what is missing, and starts the worker\n"
     "      --send-template NAME   with --install: it gets this machine's template of that name\n"
     "  doctor NAME [--install]    checks the host again; brings its programs up to date, and "
     "with\n"
     "                             --send-template its template\n"
     "  ls, show NAME              all of them, or all of one\n"
     "  drain NAME, resume NAME    give it no new runs, or again\n"
     "  rm NAME [--force]          once its runs have ended; --force: and named runners, too\n\n"
     "Options:\n" SETTINGS_HELP},
    {"config", cli_config, "codeland config check | example | markdown [OPTION]...",
     "check the settings, or show them all",
     "  check     says what is wrong with the settings, with file and line\n"
     "  example   prints a file with every setting, commented, at its default\n"
     "  markdown  prints docs/configuration.md\n\n"
     "Options:\n" SETTINGS_HELP},
};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void print_help(FILE *out)
{
    fprintf(out,
            "CodeLand %s runs other people's code in fresh Linux containers.\n\n"
            "Usage: codeland VERB [OPTION]...\n\n",
            CODELAND_VERSION);
    for (size_t i = 0; i < VERBS; i++)
        fprintf(out, "  %-10s %s\n", verbs[i].name, verbs[i].summary);
    fprintf(out, "\n`codeland VERB --help` says more about each.\n");
}

/* How many letters must be changed, added or dropped; both words are short. */
static size_t distance(const char *a, const char *b)
{
    enum { WORD_MAX = 32 };
    size_t row[WORD_MAX + 1], a_len = strlen(a), b_len = strlen(b);
    if (a_len > WORD_MAX || b_len > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            size_t add = row[j - 1] + 1, drop = row[j] + 1;
            diagonal = row[j];
            row[j] = change < add ? change : add;
            if (drop < row[j])
                row[j] = drop;
        }
    }
    return row[b_len];
}

static int unknown_verb(const char *word)
{
    const struct verb *nearest = NULL;
    size_t least = 3; /* further away it is no typing error */
    for (size_t i = 0; i < VERBS; i++) {
        size_t d = distance(word, verbs[i].name);
        if (d < least && d < strlen(verbs[i].name)) {
            least = d;
            nearest = &verbs[i];
        }
    }
    fprintf(stderr, "codeland: there is no verb \"%.60s\"", word);
    if (nearest)
        fprintf(stderr, "; did you mean \"%s\"?\n", nearest->name);
    else
        fprintf(stderr, "; see codeland --help\n");
    return EXIT_USAGE;
}

/* passes_on: words behind the first that is no option are somebody else's. */
static bool asks_for_help(int argc, char **argv, bool passes_on)
{
    for (int i = 1; i < argc && !(passes_on && argv[i][0] != '-'); i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_help(stdout);
        return EXIT_OK;
    }
    if (strcmp(word, "--version") == 0) {
        printf("codeland %s\n", CODELAND_VERSION);
        return EXIT_OK;
    }
    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(verbs[i].name, word) != 0)
            continue;
        if (asks_for_help(argc - 1, argv + 1, verbs[i].run == cli_run)) {
            printf("Usage: %s\n\n%s", verbs[i].usage, verbs[i].help);
            return EXIT_OK;
        }
        return verbs[i].run(argc - 1, argv + 1);
    }
    return unknown_verb(word);
}
