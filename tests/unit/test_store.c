/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_store: the template is the file that HDF5 itself would have written, with every offset where the table says. */
#include <check.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "clock.h"
#include "example_table.h"
#include "suite.h"
#include "template.h"

/* The finished image in memory: template, table, and the example's bytes.  Closes the template. */
static unsigned char *finish(struct template *t, const struct example_table *table)
{
        unsigned char *image = calloc(1, t->image_bytes);
        struct template_extent *extents = NULL;
        struct stint_error err;

        ck_assert_msg(template_copy(t, image, &extents, &err) > 0, "%s", err.text);
        free(extents);
        memcpy(image + t->at.table_offset, table->bytes, table->count * table->record_bytes);
        example_fill(image, t->at.table_offset, table->count, table->record_bytes);
        template_close(t);
        return image;
}

static void must_build(struct template *t, struct example_table *table)
{
        struct stint_error err = { 0 };

        ck_assert_msg(template_build(t, table->bytes, table->count, table->record_bytes, &err) == 0, "%s", err.text);
}

/* Writes an image beside the test, opens it with HDF5, and removes its name. */
static hid_t open_image(const unsigned char *image, uint64_t bytes)
{
        char path[] = "/tmp/stint-test-store.XXXXXX";
        int fd = mkstemp(path);
        hid_t file;

        ck_assert(fd >= 0);
        ck_assert_int_eq(write(fd, image, bytes), (ssize_t)bytes);
        file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
        unlink(path);
        close(fd);
        ck_assert(file >= 0);
        return file;
}

static hid_t open_tensor(hid_t file, const char *name)
{
        char path[STINT_MAX_NAME + 16];
        hid_t set;

        snprintf(path, sizeof path, "/state/%s", name);
        set = H5Dopen2(file, path, H5P_DEFAULT);
        ck_assert_msg(set >= 0, "%s is not there", path);
        return set;
}

START_TEST(every_tensor_is_a_contiguous_dataset_at_the_offset_of_the_table)
{
        struct example_table table = example_all();
        struct template t;
        unsigned char *image;
        hid_t file;
        uint64_t i;

        must_build(&t, &table);
        image = finish(&t, &table);
        file = open_image(image, t.image_bytes);
        for (i = 0; i < table.count; i++) {
                const struct table_record *r = table_at(table.bytes, table.record_bytes, i);
                hid_t set = open_tensor(file, r->name), space = H5Dget_space(set), plist = H5Dget_create_plist(set);
                hsize_t dims[STINT_MAX_DIMS];
                uint32_t d;

                ck_assert_int_eq(H5Pget_layout(plist), H5D_CONTIGUOUS);
                ck_assert_int_eq(H5Sget_simple_extent_ndims(space), (int)r->ndim);
                H5Sget_simple_extent_dims(space, dims, NULL);
                for (d = 0; d < r->ndim; d++)
                        ck_assert_int_eq((int64_t)dims[d], r->shape[d]);
                if (r->bytes > 0)
                        ck_assert_uint_eq(H5Dget_offset(set), r->file_offset);
                else
                        ck_assert_uint_eq(r->file_offset, 0);
                ck_assert_uint_eq(H5Dget_storage_size(set), r->bytes);
                if (r->bytes >= 4096)
                        ck_assert_uint_eq(r->file_offset % 4096, 0);
                H5Pclose(plist);
                H5Sclose(space);
                H5Dclose(set);
        }
        H5Fclose(file);
        free(image);
        free(table.bytes);
}
END_TEST

/* For tests/flow/h5py.sh: the example's file, read by somebody else's library. */
START_TEST(the_file_is_kept_where_the_environment_says)
{
        const char *path = getenv("STORE_KEEP");
        struct example_table table = example_all();
        struct template t;
        unsigned char *image;
        FILE *f;

        must_build(&t, &table);
        ck_assert_uint_gt(t.image_bytes, 0);
        image = finish(&t, &table);
        if (path) {
                f = fopen(path, "w");
                ck_assert_ptr_nonnull(f);
                ck_assert_uint_eq(fwrite(image, 1, t.image_bytes, f), t.image_bytes);
                ck_assert_int_eq(fclose(f), 0);
        }
        free(image);
        free(table.bytes);
}
END_TEST

/* What HDF5 reads with the type of the file is, byte for byte, what was put into the image. */
START_TEST(hdf5_reads_the_bytes_that_were_put_at_the_offsets)
{
        struct example_table table = example_all();
        struct template t;
        unsigned char *image;
        hid_t file;
        uint64_t i, at;

        must_build(&t, &table);
        image = finish(&t, &table);
        file = open_image(image, t.image_bytes);
        for (i = 0; i < table.count; i++) {
                const struct table_record *r = table_at(table.bytes, table.record_bytes, i);
                hid_t set = open_tensor(file, r->name), type = H5Dget_type(set);
                unsigned char *read = calloc(1, r->bytes + 1);

                ck_assert(H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, read) >= 0);
                for (at = 0; at < r->bytes; at++)
                        ck_assert_uint_eq(read[at], example_byte(r, i, at));
                free(read);
                H5Tclose(type);
                H5Dclose(set);
        }
        H5Fclose(file);
        free(image);
        free(table.bytes);
}
END_TEST

START_TEST(the_table_in_the_file_is_the_table_byte_for_byte)
{
        struct example_table table = example_all();
        struct template t;
        unsigned char *image;
        hid_t file, set, type;
        void *read;

        must_build(&t, &table);
        image = finish(&t, &table);
        file = open_image(image, t.image_bytes);
        set = H5Dopen2(file, "/stint/table", H5P_DEFAULT);
        type = H5Dget_type(set);
        ck_assert_uint_eq(H5Tget_size(type), table.record_bytes);
        ck_assert_uint_eq(H5Dget_offset(set), t.at.table_offset);
        ck_assert_int_ge(H5Tget_member_index(type, "global_offset"), 0);
        read = calloc(table.count, table.record_bytes);
        ck_assert(H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, read) >= 0);
        ck_assert_mem_eq(read, table.bytes, table.count * table.record_bytes);
        free(read);
        H5Tclose(type);
        H5Dclose(set);
        set = H5Dopen2(file, "/stint/hashes", H5P_DEFAULT);
        ck_assert_uint_eq(H5Dget_offset(set), t.at.hashes_offset);
        ck_assert_uint_eq(H5Dget_storage_size(set), table.count * 8);
        H5Dclose(set);
        set = H5Dopen2(file, "/stint/meta", H5P_DEFAULT);
        ck_assert_uint_eq(H5Dget_offset(set), t.at.meta_offset);
        ck_assert_uint_eq(H5Dget_storage_size(set), STORE_META_BYTES);
        H5Dclose(set);
        H5Fclose(file);
        free(image);
        free(table.bytes);
}
END_TEST

START_TEST(numbers_keep_their_meaning_in_every_dtype)
{
        struct example_table table = example_new(8, 40);
        const int64_t two[] = { 2 };
        const uint16_t halves[] = { 0x3c00, 0xc500 }; /* 1 and -5 */
        const double complexes[] = { 1.5, -2.5, 3.5, 4.5 };
        const unsigned char bools[] = { 0, 1 };
        struct template t;
        double numbers[4];
        unsigned char *image;
        hid_t file, set, type, part;
        struct table_record *h, *c, *b;

        h = example_add(&table, "h", STINT_F16, 1, two);
        c = example_add(&table, "c", STINT_C128, 1, two);
        b = example_add(&table, "b", STINT_BOOL, 1, two);
        must_build(&t, &table);
        image = finish(&t, &table);
        memcpy(image + h->file_offset, halves, sizeof halves);
        memcpy(image + c->file_offset, complexes, sizeof complexes);
        memcpy(image + b->file_offset, bools, sizeof bools);
        file = open_image(image, t.image_bytes);

        set = open_tensor(file, "h");
        ck_assert(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers) >= 0);
        ck_assert_double_eq(numbers[0], 1.0);
        ck_assert_double_eq(numbers[1], -5.0);
        H5Dclose(set);

        set = open_tensor(file, "c");
        part = H5Tcreate(H5T_COMPOUND, sizeof(double));
        H5Tinsert(part, "i", 0, H5T_NATIVE_DOUBLE);
        ck_assert(H5Dread(set, part, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers) >= 0);
        ck_assert_double_eq(numbers[0], -2.5);
        ck_assert_double_eq(numbers[1], 4.5);
        H5Tclose(part);
        H5Dclose(set);

        set = open_tensor(file, "b");
        type = H5Dget_type(set);
        ck_assert_int_eq(H5Tget_class(type), H5T_ENUM);
        ck_assert_int_eq(H5Tget_nmembers(type), 2);
        H5Tclose(type);
        H5Dclose(set);
        H5Fclose(file);
        free(image);
        free(table.bytes);
}
END_TEST

START_TEST(the_same_tensors_give_the_same_bytes)
{
        struct example_table a = example_all(), b = example_all();
        struct template s, t;
        unsigned char *image_a, *image_b;

        must_build(&s, &a);
        usleep(1100 * 1000); /* HDF5 would store seconds */
        must_build(&t, &b);
        ck_assert_uint_eq(s.image_bytes, t.image_bytes);
        image_a = finish(&s, &a);
        image_b = finish(&t, &b);
        ck_assert_mem_eq(image_a, image_b, t.image_bytes);
        free(image_a);
        free(image_b);
        free(a.bytes);
        free(b.bytes);
}
END_TEST

START_TEST(a_layout_without_tensors_is_a_file_too)
{
        struct example_table table = example_new(0, 10);
        struct template t;
        unsigned char *image;
        hid_t file;

        must_build(&t, &table);
        ck_assert_uint_eq(t.at.table_offset, 0);
        image = finish(&t, &table);
        file = open_image(image, t.image_bytes);
        ck_assert_int_gt(H5Lexists(file, "state", H5P_DEFAULT), 0);
        H5Fclose(file);
        free(image);
        free(table.bytes);
}
END_TEST

START_TEST(a_name_that_is_also_a_group_is_refused_with_a_sentence_that_names_it)
{
        struct example_table table = example_new(2, 40);
        struct template t;
        struct stint_error err = { 0 };

        example_add(&table, "model/w", STINT_F32, 0, NULL);
        example_add(&table, "model/w/bias", STINT_F32, 0, NULL);
        ck_assert_int_eq(template_build(&t, table.bytes, table.count, table.record_bytes, &err), -1);
        ck_assert_int_ne(err.code, 0);
        ck_assert_ptr_nonnull(strstr(err.text, "model/w/bias"));
        ck_assert_int_eq(t.fd, -1);
        free(table.bytes);
}
END_TEST

START_TEST(the_template_of_a_large_state_takes_no_room)
{
        const int64_t gib[] = { 1024, 1024, 1024 };
        struct example_table table = example_new(8, 40);
        struct template t;
        struct stat status;
        char name[40];
        int i;

        for (i = 0; i < 8; i++) {
                snprintf(name, sizeof name, "model/%d", i);
                example_add(&table, name, STINT_U8, 3, gib);
        }
        must_build(&t, &table);
        ck_assert_uint_ge(t.image_bytes, UINT64_C(8) << 30);
        ck_assert_int_eq(fstat(t.fd, &status), 0);
        ck_assert_int_lt(status.st_blocks * 512, 1 << 20);
        template_close(&t);
        free(table.bytes);
}
END_TEST

/* Whoever is killed while it is built, or later, leaves nothing in any folder. */
START_TEST(the_template_never_has_a_name)
{
        struct example_table table = example_all();
        char path[64], target[128] = "";
        struct template t;

        must_build(&t, &table);
        snprintf(path, sizeof path, "/proc/self/fd/%d", t.fd);
        ck_assert_int_gt(readlink(path, target, sizeof target - 1), 0);
        ck_assert_msg(strncmp(target, "/memfd:", 7) == 0, "it is %s", target);
        template_close(&t);
        free(table.bytes);
}
END_TEST

/* How many: 100,000 by hand, fewer where everything is slow; what is asserted is that it stays linear. */
START_TEST(many_tensors_take_seconds_and_give_their_memory_back)
{
        const char *asked = getenv("STORE_TENSORS");
        const uint64_t count = asked ? strtoull(asked, NULL, 10) : 20000;
        struct example_table table = example_many(count, 256);
        const int64_t begin_ns = clock_now();
        struct template t;
        struct rusage usage;
        int64_t took_ns;

        must_build(&t, &table);
        took_ns = clock_now() - begin_ns;
        getrusage(RUSAGE_SELF, &usage);
        printf("# %llu tensors: %.2f s, image %.1f MiB of which state %.1f MiB, peak memory %ld MiB\n",
               (unsigned long long)count, (double)took_ns / 1e9, (double)t.image_bytes / 1048576,
               (double)(count * 1024) / 1048576, usage.ru_maxrss / 1024);
        ck_assert_uint_lt(t.image_bytes, count * 1024 * 2);
        template_close(&t);
        free(table.bytes);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "store");

        tcase_add_test(all, every_tensor_is_a_contiguous_dataset_at_the_offset_of_the_table);
        tcase_add_test(all, the_file_is_kept_where_the_environment_says);
        tcase_add_test(all, hdf5_reads_the_bytes_that_were_put_at_the_offsets);
        tcase_add_test(all, the_table_in_the_file_is_the_table_byte_for_byte);
        tcase_add_test(all, numbers_keep_their_meaning_in_every_dtype);
        tcase_add_test(all, the_same_tensors_give_the_same_bytes);
        tcase_add_test(all, a_layout_without_tensors_is_a_file_too);
        tcase_add_test(all, a_name_that_is_also_a_group_is_refused_with_a_sentence_that_names_it);
        tcase_add_test(all, the_template_of_a_large_state_takes_no_room);
        tcase_add_test(all, the_template_never_has_a_name);
        tcase_add_test(all, many_tensors_take_seconds_and_give_their_memory_back);
}

SUITE_MAIN("store", add_tests)
