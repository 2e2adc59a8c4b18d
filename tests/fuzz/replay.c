/* Runs a fuzz target once on every file of the given folders: `replay FOLDER...`. */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

static void run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    must(file);
    struct stat st;
    must(fstat(fileno(file), &st) == 0);
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size ? size : 1); /* as long as it is, for the address sanitizer */
    must(data && fread(data, 1, size, file) == size);
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
}

int main(int argc, char **argv)
{
    size_t count = 0;
    for (int i = 1; i < argc; i++) {
        struct dirent **names;
        int len = scandir(argv[i], &names, NULL, alphasort);
        if (len < 0) {
            perror(argv[i]);
            return 1;
        }
        for (int k = 0; k < len; k++) {
            char path[4096];
            snprintf(path, sizeof(path), "%s/%s", argv[i], names[k]->d_name);
            if (names[k]->d_name[0] != '.') {
                fprintf(stderr, "%s\n", path); /* the last one is the one that crashed */
                run_file(path);
                count++;
            }
            free(names[k]);
        }
        free(names);
    }
    fprintf(stderr, "%zu inputs\n", count);
    return count > 0 ? 0 : 1;
}
