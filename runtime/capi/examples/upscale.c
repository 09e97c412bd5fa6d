/* Upscales a picture: upscale MODEL.mcir IN.ppm OUT.ppm [rows]
 *
 * With `rows` the picture goes through the network as a camera delivers it: row by row, and rows of the output are written as soon
 * as they are complete. Both ways give the same bytes. */
#include <mcir.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed(const char *what, mcir_status status) {
    fprintf(stderr, "%s: %s: %s\n", what, mcir_status_text((int32_t)status), mcir_last_error());
    return 1;
}

/* A binary PPM or, for a model of brightness, PGM file of 8 bits, without comments. */
static unsigned char *read_picture(const char *path, unsigned channels, size_t *width, size_t *height) {
    FILE *file = fopen(path, "rb");
    unsigned char *pixels = NULL;
    char kind = 0;
    unsigned w = 0, h = 0, depth = 0;
    if (!file) return NULL;
    if (fscanf(file, "P%c %u %u %u", &kind, &w, &h, &depth) == 4 && depth == 255 && w > 0 && h > 0 &&
        w <= 32768 && h <= 1 << 20 && kind == (channels == 3 ? '6' : '5') && fgetc(file) != EOF) {
        size_t size = (size_t)w * h * channels;
        pixels = malloc(size);
        if (pixels && fread(pixels, 1, size, file) != size) {
            free(pixels);
            pixels = NULL;
        }
    }
    fclose(file);
    *width = w;
    *height = h;
    return pixels;
}

static void write_row(void *user, size_t y, const uint8_t *row, size_t length) {
    (void)y; /* rows come in their order */
    fwrite(row, 1, length, (FILE *)user);
}

int main(int argc, char **argv) {
    mcir_model *model = NULL;
    mcir_plan *plan = NULL;
    mcir_model_info about = {0};
    mcir_plan_info sizes = {0};
    mcir_plan_options options = {0};
    mcir_status status;
    size_t width = 0, height = 0, y;
    unsigned char *pixels, *upscaled = NULL;
    int by_rows = argc == 5 && strcmp(argv[4], "rows") == 0;
    FILE *out;

    if (argc < 4) {
        fprintf(stderr, "usage: %s MODEL.mcir IN.ppm OUT.ppm [rows]\n", argv[0]);
        return 2;
    }
    if (mcir_abi_version() != MCIR_ABI_VERSION) {
        fprintf(stderr, "the library has interface %u, this program %u\n", mcir_abi_version(), MCIR_ABI_VERSION);
        return 1;
    }
    if ((status = mcir_model_open(argv[1], &model)) != MCIR_STATUS_OK) return failed(argv[1], status);
    about.struct_size = sizeof about;
    if ((status = mcir_model_query(model, &about)) != MCIR_STATUS_OK) return failed(argv[1], status);
    pixels = read_picture(argv[2], about.in_channels, &width, &height);
    if (!pixels) {
        fprintf(stderr, "%s: no picture for this model\n", argv[2]);
        return 1;
    }
    options.struct_size = sizeof options;
    options.threads = 2;
    if ((status = mcir_plan_new(model, width, &options, &plan)) != MCIR_STATUS_OK) return failed("plan", status);
    mcir_model_free(model);
    sizes.struct_size = sizeof sizes;
    if ((status = mcir_plan_query(plan, &sizes)) != MCIR_STATUS_OK) return failed("plan", status);
    fprintf(stderr, "x%u on %s, %u threads, %zu bytes of memory\n", about.upscale, sizes.isa, sizes.threads,
            sizes.memory_bytes);

    out = fopen(argv[3], "wb");
    if (!out) {
        fprintf(stderr, "%s cannot be written\n", argv[3]);
        return 1;
    }
    fprintf(out, "P%c\n%zu %zu\n255\n", about.out_channels == 3 ? '6' : '5', width * about.upscale,
            height * about.upscale);
    if (by_rows) {
        status = mcir_plan_begin(plan, height);
        for (y = 0; y < height && status == MCIR_STATUS_OK; y++)
            status = mcir_plan_push(plan, pixels + y * sizes.in_row_bytes, 1, write_row, out);
    } else {
        size_t length = height * sizes.upscale * sizes.out_row_bytes;
        upscaled = malloc(length);
        if (!upscaled) return 1;
        status = mcir_plan_run(plan, pixels, 0, height, upscaled, 0, length);
        if (status == MCIR_STATUS_OK) fwrite(upscaled, 1, length, out);
    }
    if (status != MCIR_STATUS_OK) return failed("run", status);
    free(upscaled);
    free(pixels);
    mcir_plan_free(plan);
    return fclose(out) == 0 ? 0 : 1;
}
