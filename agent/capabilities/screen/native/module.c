/* The Python side of picture.h: arrays in (any object with a buffer, as numpy's), every size checked, the lock let go. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "picture.h"

#define MOTION_NAME "agent.capabilities.screen.native.motion"
#define SIDE_LIMIT 16384

/* Two dimensions, items of so many bytes next to each other in a row and at an address for such items, no side above
 * SIDE_LIMIT. */
static int take(PyObject *given, Py_buffer *view, Py_ssize_t item_bytes, int is_written) {
    if (PyObject_GetBuffer(given, view, PyBUF_STRIDES | (is_written ? PyBUF_WRITABLE : 0)) < 0) return -1;
    if (view->ndim == 2 && view->itemsize == item_bytes && view->strides[0] >= 0 && view->strides[0] % item_bytes == 0 &&
        (view->strides[1] == item_bytes || view->shape[1] <= 1) && view->shape[0] <= SIDE_LIMIT &&
        view->shape[1] <= SIDE_LIMIT && (uintptr_t)view->buf % item_bytes == 0)
        return 0;
    PyBuffer_Release(view);
    PyErr_Format(PyExc_ValueError, "an array of two dimensions is needed, rows of %zd-byte items", item_bytes);
    return -1;
}

static int take_pair(PyObject *before, PyObject *now, Py_buffer *views, pair_t *pair, int is_written) {
    if (take(before, views, 4, is_written) < 0) return -1;
    if (take(now, views + 1, 4, 0) < 0) {
        PyBuffer_Release(views);
        return -1;
    }
    if (views[0].shape[0] != views[1].shape[0] || views[0].shape[1] != views[1].shape[1]) {
        PyBuffer_Release(views), PyBuffer_Release(views + 1);
        PyErr_SetString(PyExc_ValueError, "both pictures must have the same size");
        return -1;
    }
    *pair = (pair_t){views[0].buf, views[0].strides[0] / 4, views[1].buf, views[1].strides[0] / 4,
                     (int)views[0].shape[1], (int)views[0].shape[0]};
    return 0;
}

static void release(Py_buffer *views, int count) {
    while (count--) PyBuffer_Release(views + count);
}

static int is_mask_of(const Py_buffer *mask, const pair_t *pair) {
    if (mask->shape[0] == (pair->height + TILE - 1) / TILE && mask->shape[1] == (pair->width + TILE - 1) / TILE) return 1;
    PyErr_SetString(PyExc_ValueError, "the mask must have one item a tile");
    return 0;
}

static PyObject *py_changed_tiles(PyObject *self, PyObject *given) {
    PyObject *before, *now, *marked, *differing;
    Py_buffer views[4];
    pair_t pair;
    (void)self;
    if (!PyArg_ParseTuple(given, "OOOO", &before, &now, &marked, &differing)) return NULL;
    if (take_pair(before, now, views, &pair, 0) < 0) return NULL;
    if (take(marked, views + 2, 1, 0) < 0) {
        release(views, 2);
        return NULL;
    }
    if (take(differing, views + 3, 1, 1) < 0) {
        release(views, 3);
        return NULL;
    }
    int is_right = is_mask_of(views + 2, &pair) && is_mask_of(views + 3, &pair);
    if (is_right && views[2].strides[0] != views[3].strides[0]) {
        PyErr_SetString(PyExc_ValueError, "both masks must have the same stride");
        is_right = 0;
    }
    if (is_right) {
        Py_BEGIN_ALLOW_THREADS
        changed_tiles(&pair, views[2].buf, views[3].buf, views[2].strides[0]);
        Py_END_ALLOW_THREADS
    }
    release(views, 4);
    if (!is_right) return NULL;
    Py_RETURN_NONE;
}

/* `count` rows of `width` 32-bit numbers as bytes. */
static PyObject *numbers(const int32_t *found, int count, int width) {
    return PyBytes_FromStringAndSize((const char *)found, (Py_ssize_t)count * width * (Py_ssize_t)sizeof(int32_t));
}

static PyObject *py_trimmed_rectangles(PyObject *self, PyObject *given) {
    PyObject *before, *now, *mask, *made = NULL;
    Py_buffer views[3];
    pair_t pair;
    int tiles_limit;
    (void)self;
    if (!PyArg_ParseTuple(given, "OOOi", &before, &now, &mask, &tiles_limit)) return NULL;
    if (tiles_limit < 1 || tiles_limit > SIDE_LIMIT) {
        PyErr_SetString(PyExc_ValueError, "no such limit of tiles");
        return NULL;
    }
    if (take_pair(before, now, views, &pair, 0) < 0) return NULL;
    if (take(mask, views + 2, 1, 0) < 0) {
        release(views, 2);
        return NULL;
    }
    if (is_mask_of(views + 2, &pair)) {
        int32_t *found = PyMem_Malloc((size_t)(views[2].shape[0] * views[2].shape[1] + 1) * 4 * sizeof *found);
        if (found) {
            int count;
            Py_BEGIN_ALLOW_THREADS
            count = trimmed_rectangles(&pair, views[2].buf, views[2].strides[0], tiles_limit, found);
            Py_END_ALLOW_THREADS
            made = numbers(found, count, 4);
            PyMem_Free(found);
        } else {
            PyErr_NoMemory();
        }
    }
    release(views, 3);
    return made;
}

static PyObject *py_write_residues(PyObject *self, PyObject *given) {
    PyObject *words;
    Py_buffer view, out;
    Py_ssize_t size;
    uint32_t row[SIDE_LIMIT];
    (void)self;
    if (!PyArg_ParseTuple(given, "Ow*", &words, &out)) return NULL;
    if (take(words, &view, 4, 0) < 0) {
        PyBuffer_Release(&out);
        return NULL;
    }
    size = view.shape[0] * view.shape[1] * 3;
    if (out.len > size) {
        Py_BEGIN_ALLOW_THREADS
        write_residues(view.buf, view.strides[0] / 4, (int)view.shape[1], (int)view.shape[0], row, out.buf);
        Py_END_ALLOW_THREADS
    } else {
        PyErr_SetString(PyExc_ValueError, "there must be room for one byte more than the residues take");
    }
    PyBuffer_Release(&view), PyBuffer_Release(&out);
    return PyErr_Occurred() ? NULL : PyLong_FromSsize_t(size);
}

static void end_motion(PyObject *capsule) { motion_free(PyCapsule_GetPointer(capsule, MOTION_NAME)); }

static PyObject *py_motion(PyObject *self, PyObject *given) {
    int width, height;
    (void)self;
    if (!PyArg_ParseTuple(given, "ii", &width, &height)) return NULL;
    if (width < 1 || height < 1 || width > SIDE_LIMIT || height > SIDE_LIMIT) {
        PyErr_SetString(PyExc_ValueError, "no such display");
        return NULL;
    }
    motion_t *motion = motion_new(width, height);
    if (!motion) return PyErr_NoMemory();
    PyObject *capsule = PyCapsule_New(motion, MOTION_NAME, end_motion);
    if (!capsule) motion_free(motion);
    return capsule;
}

static PyObject *py_find_copies(PyObject *self, PyObject *given) {
    PyObject *capsule, *before, *now;
    Py_buffer views[2];
    pair_t pair;
    int limit, gain_pixels, count;
    int32_t found[6 * 64];
    (void)self;
    if (!PyArg_ParseTuple(given, "OOOii", &capsule, &before, &now, &limit, &gain_pixels)) return NULL;
    motion_t *motion = PyCapsule_GetPointer(capsule, MOTION_NAME);
    if (!motion) return NULL;
    if (limit < 0 || limit > 64 || gain_pixels < 1) {
        PyErr_SetString(PyExc_ValueError, "a limit from 0 to 64, and a gain of at least a pixel");
        return NULL;
    }
    if (take_pair(before, now, views, &pair, 1) < 0) return NULL;
    Py_BEGIN_ALLOW_THREADS
    count = find_copies(motion, &pair, views[0].buf, limit, gain_pixels, found);
    Py_END_ALLOW_THREADS
    release(views, 2);
    return numbers(found, count, 6);
}

static PyMethodDef METHODS[] = {
    {"changed_tiles", py_changed_tiles, METH_VARARGS, "changed_tiles(before, now, marked, differing): see picture.h"},
    {"trimmed_rectangles", py_trimmed_rectangles, METH_VARARGS,
     "trimmed_rectangles(before, now, mask, tiles_limit): int32 x, y, width, height each, as bytes"},
    {"write_residues", py_write_residues, METH_VARARGS, "write_residues(words, out): how many bytes were written"},
    {"motion", py_motion, METH_VARARGS, "motion(width, height): what find_copies works with"},
    {"find_copies", py_find_copies, METH_VARARGS,
     "find_copies(motion, before, now, limit, gain_pixels): int32 x, y, width, height, to x, to y each, as bytes"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_picture", "See picture.h.", 0, METHODS,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__picture(void) { return PyModule_Create(&MODULE); }
