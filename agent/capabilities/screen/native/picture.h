/* The part of the exact layer that is too slow in numpy. A pixel is a 32-bit word of BGRX; X has no meaning and is never
 * compared. Strides are in words. "before" is what the viewer has, "now" what the screen shows; both pointers are at
 * the top left of the same area, which begins at a tile. Nothing is kept between two calls but scratch memory. */
#ifndef ALONGSIDE_PICTURE_H
#define ALONGSIDE_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#define PIXEL_MASK 0x00FFFFFFu
#define TILE 64

/* Several builds of one loop, the best of which is chosen where the program is loaded (GCC, glibc). */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__)
#define FAST __attribute__((target_clones("avx2", "default")))
#else
#define FAST
#endif

typedef struct {
    const uint32_t *before;
    ptrdiff_t before_stride;
    const uint32_t *now;
    ptrdiff_t now_stride;
    int width, height;
} pair_t;

/* A tile's mask is 0 or 1, `mask_stride` bytes a row of tiles. */
void changed_tiles(const pair_t *pair, const uint8_t *marked, uint8_t *differing, ptrdiff_t mask_stride);

/* x, y, width, height of what differs in each tile of the mask; neighbours in a row of tiles that fit together are one, of
 * at most `tiles_limit` tiles. `out` has room for one rectangle a tile. The count of rectangles. */
int trimmed_rectangles(const pair_t *pair, const uint8_t *mask, ptrdiff_t mask_stride, int tiles_limit, int32_t *out);

/* B-G, G, R-G of each pixel, less the same of its left neighbour, modulo 256; rows follow each other. One byte more than
 * 3 * width * height is written. `row` has room for `width` words. */
void write_residues(const uint32_t *words, ptrdiff_t stride, int width, int height, uint32_t *row, uint8_t *out);

typedef struct motion motion_t;

/* NULL without memory. */
motion_t *motion_new(int width, int height);
void motion_free(motion_t *motion);

/* Rectangles of `before` that are to be seen elsewhere `now`: x, y, width, height, to x, to y, in the order in which they
 * are to be copied; each one is carried out in `before`, after every pixel of it was compared. Each saves at least
 * `gain_pixels`. `out` has room for `limit`. The count. */
int find_copies(motion_t *motion, const pair_t *pair, uint32_t *before, int limit, int gain_pixels, int32_t *out);

#endif
