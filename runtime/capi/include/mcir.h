/* mcir: super-resolution for small devices. The C interface of the engine.
 *
 * Made from the Rust source by cbindgen: a test compares them. Do not edit.
 *
 * - Handles are pointers that the library makes (`mcir_model_open`, `mcir_plan_new`) and takes back (`mcir_model_free`,
 *   `mcir_plan_free`). Several threads may use one model at the same time, and one plan one after the other.
 * - Functions that can fail return an `mcir_status`: 0, or what went wrong. `mcir_last_error` then has a sentence about it.
 * - Nothing unwinds or aborts: an error of the library itself is `MCIR_STATUS_INTERNAL`.
 * - Structures begin with their size, as this header knows it, so that they can grow without breaking programs.
 */

#ifndef MCIR_H
#define MCIR_H



#include <stddef.h>
#include <stdint.h>

// Version of this interface. `mcir_abi_version` says that of the library at run time: they must be equal.
#define MCIR_ABI_VERSION 1

// How a call went.
typedef enum {
  // Done.
  MCIR_STATUS_OK = 0,
  // A null pointer, a length or a number that cannot be.
  MCIR_STATUS_ARGUMENT = 1,
  // A file cannot be read.
  MCIR_STATUS_IO = 2,
  // A model file is damaged, or of a version that this library does not know.
  MCIR_STATUS_MODEL = 3,
  // The model cannot be prepared for this width and processor.
  MCIR_STATUS_PLAN = 4,
  // The call does not fit what the plan is doing: rows before an image was begun, or an image while another is running.
  MCIR_STATUS_STATE = 5,
  // An error of the library itself. The handle can only be freed.
  MCIR_STATUS_INTERNAL = 6,
} mcir_status;

// A network with its weights. It does not change; several threads may use it at the same time. Plans keep what they need of it:
// it may be freed before them.
typedef struct mcir_model mcir_model;

// A model prepared for images of one width, with the memory to run them in. It runs one image at a time; other threads may use
// it afterwards, but not at the same time.
typedef struct mcir_plan mcir_plan;

// What a model is.
typedef struct {
  // `sizeof(mcir_model_info)`, set by the caller.
  size_t struct_size;
  // How many times wider and higher the output is.
  uint32_t upscale;
  // Channels of the input image: 3 for RGB, 1 for brightness.
  uint32_t in_channels;
  // Channels of the output image.
  uint32_t out_channels;
  // 1 for an int8 model, 0 for a float one.
  uint32_t quantized;
  // Multiply-accumulates for one pixel of the input.
  uint64_t macs_per_pixel;
  // Parameters.
  uint64_t parameters;
  // Bytes of the weights.
  size_t weight_bytes;
} mcir_model_info;

// How a plan is made. All zero, but for the size, is the fastest on one thread.
typedef struct {
  // `sizeof(mcir_plan_options)`, set by the caller.
  size_t struct_size;
  // Threads; 0 and 1 for the calling one alone. The output does not depend on it.
  uint32_t threads;
  // Not 0: every thread keeps to one processor (Linux). The calling thread then stays pinned.
  uint32_t pinned;
  // Name of the instruction set, such as "neon_dot"; null for the fastest that this processor has.
  const char *isa;
} mcir_plan_options;

// What a plan is.
typedef struct {
  // `sizeof(mcir_plan_info)`, set by the caller.
  size_t struct_size;
  // Bytes of a row of the input: width times channels.
  size_t in_row_bytes;
  // Bytes of a row of the output.
  size_t out_row_bytes;
  // Rows of the output for a row of the input.
  size_t upscale;
  // Bytes of working memory and packed weights. A network that keeps the whole image takes more when it runs.
  size_t memory_bytes;
  // Threads.
  uint32_t threads;
  // Name of the instruction set; it stays for ever.
  const char *isa;
} mcir_plan_info;

// Takes a row of the output: its number, and `length` bytes that are valid until it returns. It is called in the thread that
// pushes rows, must not use the plan, and must not leave by `longjmp` or an exception.
typedef void (*mcir_row_fn)(void *user, size_t y, const uint8_t *row, size_t length);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Version of the interface that the library has.
uint32_t mcir_abi_version(void);

// Version of the library, as in "0.1.0".
const char *mcir_version(void);

// Reads a model from memory. The bytes are copied.
//
// `bytes` must be valid for `length` bytes; `*model` is the new handle, or null after an error.
//
// # Safety
// As said.
mcir_status mcir_model_from_bytes(const uint8_t *bytes, size_t length, mcir_model **model);

// Reads a model file.
//
// `path` must be a text that ends with a zero byte, as the system takes names of files; `*model` is the new handle, or null after
// an error.
//
// # Safety
// As said.
mcir_status mcir_model_open(const char *path,
                            mcir_model **model);

// Says what a model is.
//
// `info->struct_size` must be `sizeof(mcir_model_info)`.
//
// # Safety
// `model` is a handle that was not freed, `info` valid for writing that many bytes; or they are null.
mcir_status mcir_model_query(const mcir_model *model, mcir_model_info *info);

// The name of a model: empty where it has none, null for a null pointer. It stays as long as the model.
//
// # Safety
// `model` is a handle that was not freed, or null.
const char *mcir_model_name(const mcir_model *model);

// What a model file says under this key: null where it has no such key. It stays as long as the model.
//
// # Safety
// `model` is a handle that was not freed, `key` a text that ends with a zero byte; or they are null.
const char *mcir_model_metadata(const mcir_model *model, const char *key);

// Frees a model. Null is nothing to free.
//
// # Safety
// `model` is a handle that was not freed and that no other thread uses, or null.
void mcir_model_free(mcir_model *model);

// Prepares a model for images of this width, in pixels. `options` may be null.
//
// The model may be freed afterwards. `*plan` is the new handle, or null after an error.
//
// # Safety
// `model` is a handle that was not freed, `options` valid for the size that it says, `plan` valid for writing a pointer; or they
// are null.
mcir_status mcir_plan_new(const mcir_model *model,
                          size_t width,
                          const mcir_plan_options *options,
                          mcir_plan **plan);

// Says what a plan is. While an image is running its memory is given as 0.
//
// `info->struct_size` must be `sizeof(mcir_plan_info)`.
//
// # Safety
// `plan` is a handle that was not freed and that no other thread uses, `info` valid for writing that many bytes; or they are
// null.
mcir_status mcir_plan_query(mcir_plan *plan,
                            mcir_plan_info *info);

// Upscales a whole image: `height` rows of interleaved bytes, each `stride` bytes after the one before (0: without gaps), into rows
// that are `out_stride` bytes apart (0: without gaps). `out_length` is how many bytes `out` has.
//
// # Safety
// `plan` is a handle that was not freed and that no other thread uses; `pixels` is valid for `height - 1` strides and a row, `out`
// for `out_length` bytes, and they do not overlap; or they are null.
mcir_status mcir_plan_run(mcir_plan *plan,
                          const uint8_t *pixels,
                          size_t stride,
                          size_t height,
                          uint8_t *out,
                          size_t out_stride,
                          size_t out_length);

// Begins an image of `height` rows, which come with `mcir_plan_push`.
//
// # Safety
// `plan` is a handle that was not freed and that no other thread uses, or null.
mcir_status mcir_plan_begin(mcir_plan *plan, size_t height);

// Takes the next `count` rows, without gaps, and hands out those rows of the output that are now complete to `sink`, which gets
// `user`. With the last row of the image all of the output is handed out, and another image may begin. After an error the image
// goes on as if the call had not been made.
//
// # Safety
// `plan` is a handle that was not freed and that no other thread uses; `rows` is valid for `count` rows; `sink` keeps to what
// `mcir_row_fn` says; or they are null.
mcir_status mcir_plan_push(mcir_plan *plan,
                           const uint8_t *rows,
                           size_t count,
                           mcir_row_fn sink,
                           void *user);

// Gives the image that is running up; another may begin. Without one it does nothing.
//
// # Safety
// `plan` is a handle that was not freed and that no other thread uses, or null.
mcir_status mcir_plan_cancel(mcir_plan *plan);

// Frees a plan, also one with an image that is running. Null is nothing to free.
//
// # Safety
// `plan` is a handle that was not freed and that no other thread uses, or null.
void mcir_plan_free(mcir_plan *plan);

// A sentence about the last error of this thread; empty when there was none. It stays until the thread's next error.
const char *mcir_last_error(void);

// What a status means, in a few words. Of a number that is no status: "unknown status".
const char *mcir_status_text(int32_t status);

// A sentence about the last error of this thread; empty when there was none. It stays until the thread's next error.
const char *mcir_last_error(void);

// What a status means, in a few words. Of a number that is no status: "unknown status".
const char *mcir_status_text(int32_t status);

// Reads a model from memory. The bytes are copied.
//
// `bytes` must be valid for `length` bytes; `*model` is the new handle, or null after an error.
//
// # Safety
// As said.
mcir_status mcir_model_from_bytes(const uint8_t *bytes, size_t length, mcir_model **model);

// Reads a model file.
//
// `path` must be a text that ends with a zero byte, as the system takes names of files; `*model` is the new handle, or null after
// an error.
//
// # Safety
// As said.
mcir_status mcir_model_open(const char *path,
                            mcir_model **model);

// Says what a model is.
//
// `info->struct_size` must be `sizeof(mcir_model_info)`.
//
// # Safety
// `model` is a handle that was not freed, `info` valid for writing that many bytes; or they are null.
mcir_status mcir_model_query(const mcir_model *model, mcir_model_info *info);

// The name of a model: empty where it has none, null for a null pointer. It stays as long as the model.
//
// # Safety
// `model` is a handle that was not freed, or null.
const char *mcir_model_name(const mcir_model *model);

// What a model file says under this key: null where it has no such key. It stays as long as the model.
//
// # Safety
// `model` is a handle that was not freed, `key` a text that ends with a zero byte; or they are null.
const char *mcir_model_metadata(const mcir_model *model, const char *key);

// Frees a model. Null is nothing to free.
//
// # Safety
// `model` is a handle that was not freed and that no other thread uses, or null.
void mcir_model_free(mcir_model *model);

// Prepares a model for images of this width, in pixels. `options` may be null.
//
// The model may be freed afterwards. `*plan` is the new handle, or null after an error.
//
// # Safety
// `model` is a handle that was not freed, `options` valid for the size that it says, `plan` valid for writing a pointer; or they
// are null.
mcir_status mcir_plan_new(const mcir_model *model,
                          size_t width,
                          const mcir_plan_options *options,
                          mcir_plan **plan);

// Says what a plan is. While an image is running its memory is given as 0.
//
// `info->struct_size` must be `sizeof(mcir_plan_info)`.
//
// # Safety
// `plan` is a handle that was not freed and that no other thread uses, `info` valid for writing that many bytes; or they are
// null.
mcir_status mcir_plan_query(mcir_plan *plan,
                            mcir_plan_info *info);

// Upscales a whole image: `height` rows of interleaved bytes, each `stride` bytes after the one before (0: without gaps), into rows
// that are `out_stride` bytes apart (0: without gaps). `out_length` is how many bytes `out` has.
//
// # Safety
// `plan` is a handle that was not freed and that no other thread uses; `pixels` is valid for `height - 1` strides and a row, `out`
// for `out_length` bytes, and they do not overlap; or they are null.
mcir_status mcir_plan_run(mcir_plan *plan,
                          const uint8_t *pixels,
                          size_t stride,
                          size_t height,
                          uint8_t *out,
                          size_t out_stride,
                          size_t out_length);

// Begins an image of `height` rows, which come with `mcir_plan_push`.
//
// # Safety
// `plan` is a handle that was not freed and that no other thread uses, or null.
mcir_status mcir_plan_begin(mcir_plan *plan, size_t height);

// Takes the next `count` rows, without gaps, and hands out those rows of the output that are now complete to `sink`, which gets
// `user`. With the last row of the image all of the output is handed out, and another image may begin. After an error the image
// goes on as if the call had not been made.
//
// # Safety
// `plan` is a handle that was not freed and that no other thread uses; `rows` is valid for `count` rows; `sink` keeps to what
// `mcir_row_fn` says; or they are null.
mcir_status mcir_plan_push(mcir_plan *plan,
                           const uint8_t *rows,
                           size_t count,
                           mcir_row_fn sink,
                           void *user);

// Gives the image that is running up; another may begin. Without one it does nothing.
//
// # Safety
// `plan` is a handle that was not freed and that no other thread uses, or null.
mcir_status mcir_plan_cancel(mcir_plan *plan);

// Frees a plan, also one with an image that is running. Null is nothing to free.
//
// # Safety
// `plan` is a handle that was not freed and that no other thread uses, or null.
void mcir_plan_free(mcir_plan *plan);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MCIR_H */
