#include "../../../src/cli/template_progress.h"

#include "../../support/cm.h"

/* What mmdebstrap 1.3.5 prints with --debug, shortened. */
static const struct {
    const char *line;
    int percent;
    const char *detail;
} transcript[] = {
    {"I: 12 4826 automatically chosen mode: root", 0, ""},
    {"D: 12 100 some detail", 0, ""},
    {"I: 50 2358 running apt-get update...", 1, "fetching the lists of packages"},
    {"Get:1 http://deb.debian.org/debian bookworm InRelease [151 kB]", 1,
     "fetching the lists of packages"},
    {"I: 50 1065 downloading packages with apt...", 10, "downloading"},
    {"0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.", 10, "downloading"},
    {"Get:1 http://deb.debian.org/debian bookworm/main amd64 libc6 amd64 2.36 [2759 kB]", 12,
     "downloading libc6"},
    {"Get:2 http://deb.debian.org/debian bookworm/main amd64 g++-12 amd64 12.2 [9 kB]", 15,
     "downloading g++-12"},
    {"I: 50 2549 extracting archives...", 15, "extracting"},
    {"D: 296 2602 running dpkg-deb --fsys-tarfile /t//var/cache/apt/archives/libc6_2.36_amd64.deb",
     27, "extracting libc6"},
    {"D: 297 2602 running dpkg-deb --fsys-tarfile /t//g++-12_12.2_amd64.deb", 40,
     "extracting g++-12"},
    {"I: 50 1757 running --extract-hook in shell: sh -c 'Unpacking x'", 40, "extracting g++-12"},
    {"I: 50 2956 installing essential packages...", 40, "installing the essential packages"},
    {"Unpacking libc6:amd64 (2.36) ...", 46, "unpacking libc6"},
    {"Setting up libc6:amd64 (2.36) ...", 52, "setting up libc6"},
    {"I: 50 3068 installing remaining packages inside the chroot...", 65,
     "installing the other packages"},
    {"0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.", 65,
     "installing the other packages"},
    {"Get:1 http://deb.debian.org/debian bookworm/main amd64 perl amd64 5.36 [2759 kB]", 75,
     "downloading perl"},
    {"Unpacking perl (5.36) ...", 85, "unpacking perl"},
    {"Setting up perl (5.36) ...", 96, "setting up perl"},
    {"Setting up perl (5.36) ...", 96, "setting up perl"},
    {"I: 50 3113 cleaning package lists and apt cache...", 96, "cleaning up"},
    {"I: 12 6242 success in 20.8094 seconds", 96, "cleaning up"},
    {"I: adding the user and the mount points", 97, "adding the user and the mount points"},
    {"I: dropping what no program needs", 98, "dropping what no program needs"},
};

static void a_whole_build_moves_forward(void **data)
{
    (void)data;
    struct template_progress progress = {0};
    for (size_t i = 0; i < sizeof(transcript) / sizeof(transcript[0]); i++) {
        struct template_progress before = progress;
        bool changed = template_progress_line(&progress, transcript[i].line);
        assert_int_equal(progress.percent, transcript[i].percent);
        assert_string_equal(progress.detail, transcript[i].detail);
        if (!changed)
            assert_true(before.percent == progress.percent &&
                        strcmp(before.detail, progress.detail) == 0);
    }
    assert_string_equal(progress.problem, "");
}

static void the_telling_line_is_kept(void **data)
{
    (void)data;
    static const struct {
        const char *lines[3], *problem;
    } cases[] = {
        {{"E: Failed to fetch http://x  404", "E: 12 300 apt-get update failed", NULL},
         "Failed to fetch http://x  404"},
        {{"dpkg: error processing archive x", "E: 12 300 failed", NULL},
         "dpkg: error processing archive x"},
        {{"E: 1 2 dpkg failed", "tar: x: Cannot write: No space left on device", NULL},
         "tar: x: Cannot write: No space left on device"},
        {{"W: only a warning", "Unpacking E: x", NULL}, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct template_progress progress = {0};
        for (const char *const *line = cases[i].lines; *line; line++)
            template_progress_line(&progress, *line);
        assert_string_equal(progress.problem, cases[i].problem);
    }
}

static void any_line_does_no_harm(void **data)
{
    (void)data;
    static const char *const lines[] = {
        "",
        "I",
        "I:",
        "I: ",
        "I: 12",
        "Get:",
        "Get:1",
        "Unpacking ",
        "Setting up /",
        "D: ",
        "99999999999999999999 newly installed",
        " newly installed",
        "0 newly installed",
        "Unpacking ////////",
        "Unpacking \xff\xfe\x01",
        "running dpkg-deb --fsys-tarfile ",
    };
    struct template_progress progress = {0};
    template_progress_line(&progress, "I: installing remaining packages");
    for (int round = 0; round < 1000; round++)
        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
            template_progress_line(&progress, lines[i]);
            assert_in_range(progress.percent, 65, 96);
        }
    char line[4096];
    memset(line, 'x', sizeof(line));
    memcpy(line, "Unpacking ", 10);
    line[sizeof(line) - 1] = '\0';
    template_progress_line(&progress, line);
    memcpy(line, "E: xxxxxxx", 10);
    template_progress_line(&progress, line);
    assert_int_equal(strlen(progress.problem), sizeof(progress.problem) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_build_moves_forward),
        cmocka_unit_test(the_telling_line_is_kept),
        cmocka_unit_test(any_line_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
