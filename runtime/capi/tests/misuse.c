/* Everything that a program can do wrong and still be told so: misuse MODEL.mcir [ISA]
 * Run under valgrind or an address sanitizer too, which see what the library would touch wrongly. */
#include <mcir.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what)                                                                       \
    do {                                                                                  \
        if (!(what)) {                                                                    \
            fprintf(stderr, "line %d: %s; last: %s\n", __LINE__, #what, mcir_last_error()); \
            exit(1);                                                                      \
        }                                                                                 \
    } while (0)
#define REFUSED(status, call, words)                         \
    do {                                                     \
        CHECK((call) == (status));                           \
        CHECK(strstr(mcir_last_error(), (words)) != NULL);   \
    } while (0)

enum { WIDTH = 12, HEIGHT = 9 };

static const char *isa;

struct rows {
    uint8_t *pixels;
    size_t length, next;
};

static void take(void *user, size_t y, const uint8_t *row, size_t length) {
    struct rows *rows = user;
    CHECK(y == rows->next++);
    CHECK(length == rows->length);
    memcpy(rows->pixels + y * length, row, length);
}

static mcir_plan *plan_of(const mcir_model *model, uint32_t threads) {
    mcir_plan_options options = {sizeof options, threads, 0, isa};
    mcir_plan *plan = NULL;
    CHECK(mcir_plan_new(model, WIDTH, &options, &plan) == MCIR_STATUS_OK);
    return plan;
}

static uint8_t *picture(size_t bytes) {
    uint8_t *pixels = malloc(bytes);
    for (size_t i = 0; i < bytes; i++) pixels[i] = (uint8_t)(i * 37 + i / 5);
    return pixels;
}

static void *thread(void *model) {
    /* An error here is not the other thread's. */
    CHECK(mcir_last_error()[0] == '\0');
    mcir_plan *plan = plan_of(model, 2);
    uint8_t *in = picture(WIDTH * HEIGHT * 3), *out = malloc(WIDTH * HEIGHT * 3 * 16);
    for (int n = 0; n < 3; n++)
        CHECK(mcir_plan_run(plan, in, 0, HEIGHT, out, 0, WIDTH * HEIGHT * 3 * 16) == MCIR_STATUS_OK);
    free(in);
    mcir_plan_free(plan);
    return out;
}

int main(int argc, char **argv) {
    mcir_model *model = (mcir_model *)1;
    mcir_plan *plan = (mcir_plan *)1;
    mcir_model_info about = {0};
    mcir_plan_info sizes = {0};
    char junk[64] = "MCIR is how it begins, but then it is something else";

    CHECK(argc >= 2);
    isa = argc > 2 ? argv[2] : NULL;
    CHECK(mcir_abi_version() == MCIR_ABI_VERSION);
    CHECK(strcmp(mcir_last_error(), "") == 0);
    CHECK(strcmp(mcir_status_text(0), "done") == 0 && strcmp(mcir_status_text(99), "unknown status") == 0);

    /* Models. */
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_model_open(argv[1], NULL), "null");
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_model_open(NULL, &model), "null");
    CHECK(model == NULL);
    REFUSED(MCIR_STATUS_IO, mcir_model_open("/nowhere/x.mcir", &model), "/nowhere/x.mcir");
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_model_from_bytes(NULL, 10, &model), "null");
    REFUSED(MCIR_STATUS_MODEL, mcir_model_from_bytes((const uint8_t *)junk, sizeof junk, &model), "the model");
    REFUSED(MCIR_STATUS_MODEL, mcir_model_from_bytes((const uint8_t *)junk, 0, &model), "the model");
    CHECK(model == NULL);
    CHECK(mcir_model_open(argv[1], &model) == MCIR_STATUS_OK && model != NULL);
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_model_query(model, &about), "struct_size");
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_model_query(NULL, &about), "null");
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_model_query(model, NULL), "null");
    /* A program that knows a shorter structure gets no more than that. */
    about.struct_size = offsetof(mcir_model_info, in_channels);
    about.in_channels = 77;
    CHECK(mcir_model_query(model, &about) == MCIR_STATUS_OK && about.upscale == 4 && about.in_channels == 77);
    about.struct_size = sizeof about;
    CHECK(mcir_model_query(model, &about) == MCIR_STATUS_OK && about.in_channels == 3 && about.quantized == 1);
    CHECK(strcmp(mcir_model_name(model), "edsr-edge-x4") == 0 && mcir_model_name(NULL) == NULL);
    CHECK(mcir_model_metadata(model, "no such key") == NULL && mcir_model_metadata(model, NULL) == NULL);

    /* Plans. */
    mcir_plan_options options = {0};
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_new(model, WIDTH, &options, &plan), "struct_size");
    CHECK(plan == NULL);
    options.struct_size = sizeof options;
    options.threads = 1000000;
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_new(model, WIDTH, &options, &plan), "threads");
    options.threads = 0;
    options.isa = "quantum";
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_new(model, WIDTH, &options, &plan), "quantum");
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_new(NULL, WIDTH, NULL, &plan), "null");
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_new(model, WIDTH, NULL, NULL), "null");
    REFUSED(MCIR_STATUS_PLAN, mcir_plan_new(model, 0, NULL, &plan), "width 0");
    REFUSED(MCIR_STATUS_PLAN, mcir_plan_new(model, SIZE_MAX, NULL, &plan), "width");
    plan = plan_of(model, 1);
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_query(plan, &sizes), "struct_size");
    sizes.struct_size = sizeof sizes;
    CHECK(mcir_plan_query(plan, &sizes) == MCIR_STATUS_OK);
    CHECK(sizes.in_row_bytes == WIDTH * 3 && sizes.out_row_bytes == WIDTH * 12 && sizes.upscale == 4);

    /* Images. Memory is exactly as large as it has to be, so that a byte too many is seen. */
    size_t in_length = HEIGHT * sizes.in_row_bytes, out_length = HEIGHT * 4 * sizes.out_row_bytes;
    uint8_t *in = picture(in_length), *out = calloc(1, out_length), *again = calloc(1, out_length);
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_run(NULL, in, 0, HEIGHT, out, 0, out_length), "null");
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_run(plan, NULL, 0, HEIGHT, out, 0, out_length), "null");
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_run(plan, in, 0, HEIGHT, NULL, 0, out_length), "null");
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_run(plan, in, 0, HEIGHT, out, 0, out_length - 1), "are needed");
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_run(plan, in, 0, 0, out, 0, out_length), "no rows");
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_run(plan, in, 5, HEIGHT, out, 0, out_length), "stride");
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_run(plan, in, 0, HEIGHT, out, 5, out_length), "stride");
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_run(plan, in, 0, SIZE_MAX, out, 0, out_length), "memory");
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_run(plan, in, SIZE_MAX / 2, HEIGHT, out, 0, out_length), "memory");
    CHECK(mcir_plan_run(plan, in, 0, HEIGHT, out, 0, out_length) == MCIR_STATUS_OK);
    CHECK(out[out_length - 1] != 0 || out[out_length - 2] != 0 || out[out_length - 3] != 0);

    /* Rows, with every mistake on the way; what came before is not lost by it. */
    struct rows rows = {again, sizes.out_row_bytes, 0};
    REFUSED(MCIR_STATUS_STATE, mcir_plan_push(plan, in, 1, take, &rows), "mcir_plan_begin");
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_begin(plan, 0), "");
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_begin(plan, SIZE_MAX), "memory");
    REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_begin(NULL, 1), "null");
    CHECK(mcir_plan_begin(plan, HEIGHT) == MCIR_STATUS_OK);
    REFUSED(MCIR_STATUS_STATE, mcir_plan_begin(plan, HEIGHT), "mcir_plan_cancel");
    REFUSED(MCIR_STATUS_STATE, mcir_plan_run(plan, in, 0, HEIGHT, out, 0, out_length), "mcir_plan_cancel");
    REFUSED(MCIR_STATUS_STATE, mcir_plan_query(plan, &sizes), "complete");
    for (size_t y = 0; y < HEIGHT; y++) {
        REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_push(plan, NULL, 1, take, &rows), "null");
        REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_push(plan, in, 1, NULL, &rows), "null");
        REFUSED(MCIR_STATUS_ARGUMENT, mcir_plan_push(plan, in, HEIGHT - y + 1, take, &rows), "left");
        CHECK(mcir_plan_push(plan, in, 0, take, &rows) == MCIR_STATUS_OK);
        CHECK(mcir_plan_push(plan, in + y * sizes.in_row_bytes, 1, take, &rows) == MCIR_STATUS_OK);
    }
    CHECK(rows.next == HEIGHT * 4 && memcmp(out, again, out_length) == 0);
    REFUSED(MCIR_STATUS_STATE, mcir_plan_push(plan, in, 1, take, &rows), "mcir_plan_begin");

    /* Given up half way, and freed half way. */
    rows.next = 0;
    CHECK(mcir_plan_begin(plan, HEIGHT) == MCIR_STATUS_OK);
    CHECK(mcir_plan_push(plan, in, 4, take, &rows) == MCIR_STATUS_OK);
    CHECK(mcir_plan_cancel(plan) == MCIR_STATUS_OK && mcir_plan_cancel(plan) == MCIR_STATUS_OK);
    memset(again, 0, out_length);
    CHECK(mcir_plan_run(plan, in, 0, HEIGHT, again, 0, out_length) == MCIR_STATUS_OK);
    CHECK(memcmp(out, again, out_length) == 0);
    mcir_plan *half = plan_of(model, 1);
    rows.next = 0;
    CHECK(mcir_plan_begin(half, HEIGHT) == MCIR_STATUS_OK);
    CHECK(mcir_plan_push(half, in, 4, take, &rows) == MCIR_STATUS_OK);
    mcir_plan_free(half);

    /* Rows that are further apart than they are long; between them nothing is read or written. */
    size_t wide = sizes.out_row_bytes + 7, spread = HEIGHT * 4 * wide - 7;
    uint8_t *apart = malloc(spread);
    memset(apart, 0xa5, spread);
    CHECK(mcir_plan_run(plan, in, 0, HEIGHT, apart, wide, spread) == MCIR_STATUS_OK);
    for (size_t y = 0; y < HEIGHT * 4; y++) {
        CHECK(memcmp(apart + y * wide, out + y * sizes.out_row_bytes, sizes.out_row_bytes) == 0);
        for (size_t x = sizes.out_row_bytes; x < wide && y + 1 < HEIGHT * 4; x++) CHECK(apart[y * wide + x] == 0xa5);
    }

    /* One model in several threads, each with a plan of its own. */
    pthread_t threads[3];
    for (int n = 0; n < 3; n++) CHECK(pthread_create(&threads[n], NULL, thread, model) == 0);
    for (int n = 0; n < 3; n++) {
        void *theirs = NULL;
        CHECK(pthread_join(threads[n], &theirs) == 0);
        CHECK(memcmp(theirs, out, out_length) == 0);
        free(theirs);
    }

    /* The model may go before its plans. */
    mcir_model_free(model);
    CHECK(mcir_plan_run(plan, in, 0, HEIGHT, again, 0, out_length) == MCIR_STATUS_OK);
    mcir_plan_free(plan);
    mcir_plan_free(NULL);
    mcir_model_free(NULL);
    CHECK(mcir_plan_cancel(NULL) == MCIR_STATUS_ARGUMENT);
    free(in);
    free(out);
    free(again);
    free(apart);
    puts("every mistake was told");
    return 0;
}
