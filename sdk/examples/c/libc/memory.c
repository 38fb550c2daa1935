// Memory in sizes of powers of two, from 16 bytes on, each with a list of what was freed.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 65536
#define HEADER 16

extern unsigned char __heap_base;

static void *freed[32];
static uintptr_t top;

static unsigned *size_of(void *memory) { return (unsigned *)((uintptr_t)memory - HEADER); }

void *malloc(size_t size) {
  unsigned bits = 4;
  while (bits < 31 && ((size_t)1 << bits) < size) bits++;
  if (size > (size_t)1 << bits) abort();
  void *memory = freed[bits];
  if (memory) {
    freed[bits] = *(void **)memory;
    return memory;
  }
  if (!top) top = ((uintptr_t)&__heap_base + HEADER - 1) & ~(uintptr_t)(HEADER - 1);
  uint64_t end = (uint64_t)top + HEADER + ((uint64_t)1 << bits);
  uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) * PAGE;
  // Where the hub's limit is reached, growing ends the call.
  if (end > have && __builtin_wasm_memory_grow(0, (end - have + PAGE - 1) / PAGE) == (size_t)-1) abort();
  memory = (void *)(top + HEADER);
  top = (uintptr_t)end;
  *size_of(memory) = bits;
  return memory;
}

void free(void *memory) {
  if (!memory) return;
  void **list = &freed[*size_of(memory)];
  *(void **)memory = *list;
  *list = memory;
}

void *realloc(void *memory, size_t size) {
  if (!memory) return malloc(size);
  size_t has = (size_t)1 << *size_of(memory);
  if (size <= has) return memory;
  void *more = malloc(size);
  memcpy(more, memory, has);
  free(memory);
  return more;
}

void abort(void) { __builtin_trap(); }

// An instruction of WebAssembly, by -mbulk-memory.
void *memcpy(void *restrict to, const void *restrict from, size_t size) { return __builtin_memcpy(to, from, size); }

size_t strlen(const char *text) {
  const char *end = text;
  while (*end) end++;
  return (size_t)(end - text);
}
