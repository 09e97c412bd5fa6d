// blocks: a plugin for qemu-aarch64 (user mode) that counts how often every translated block of code ran.
//
//   cc -O2 -shared -fPIC -o blocks.so blocks.c
//   qemu-aarch64 -cpu cortex-a76 -plugin ./blocks.so,out=blocks.txt PROGRAM
//
// Writes one line a block: address, executions, and its instructions in hexadecimal. What they cost is for
// count.py to say. Exact for a program with one thread: the counters are not atomic.
//
// The few functions of QEMU's plugin interface that are needed are declared here, because distributions
// ship the emulator without its header.
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

EXPORT int qemu_plugin_version = 1;

enum { INLINE_ADD_U64 = 0, BUCKETS = 1 << 14 };

struct block {
  struct block *next;
  uint64_t address, runs;
  size_t length;
  uint32_t code[];
};

static struct block *buckets[BUCKETS];
static char path[4096];

// QEMU translates a block again when it ran out of space; it is found by its address and length.
static struct block *counter_of(struct qemu_plugin_tb *tb) {
  uint64_t address = qemu_plugin_tb_vaddr(tb);
  size_t length = qemu_plugin_tb_n_insns(tb);
  struct block **bucket = &buckets[(address >> 2) % BUCKETS];
  for (struct block *b = *bucket; b; b = b->next)
    if (b->address == address && b->length == length) return b;
  struct block *b = calloc(1, sizeof *b + length * sizeof b->code[0]);
  if (!b) abort();
  b->address = address;
  b->length = length;
  for (size_t i = 0; i < length; i++)
    memcpy(&b->code[i], qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), sizeof b->code[i]);
  b->next = *bucket;
  return *bucket = b;
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb) {
  (void)id;
  qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &counter_of(tb)->runs, 1);
}

static void finished(plugin_id id, void *unused) {
  (void)id, (void)unused;
  FILE *out = fopen(path, "w");
  if (!out) {
    perror(path);
    return;
  }
  for (size_t i = 0; i < BUCKETS; i++)
    for (struct block *b = buckets[i]; b; b = b->next) {
      fprintf(out, "%" PRIx64 " %" PRIu64 " ", b->address, b->runs);
      for (size_t k = 0; k < b->length; k++) fprintf(out, "%08" PRIx32, b->code[k]);
      fputc('\n', out);
    }
  fclose(out);
}

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv) {
  (void)info;
  for (int i = 0; i < argc; i++)
    if (!strncmp(argv[i], "out=", 4)) snprintf(path, sizeof path, "%s", argv[i] + 4);
  if (!path[0]) {
    fputs("blocks: say where to write with out=FILE\n", stderr);
    return 1;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, finished, NULL);
  return 0;
}
