/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stint_mpi.h: how the ranks of an MPI program agree, ready-made.  Everything is here, in the header, so that libstint
 * itself needs no MPI.
 *
 *         struct stint_options options = STINT_OPTIONS;
 *         struct stint_mpi mpi;
 *
 *         stint_mpi_options(&options, &mpi, MPI_COMM_WORLD);
 *         struct stint *s = stint_open(&options, NULL);
 *         ...
 *         stint_close(s);
 *         stint_mpi_free(&mpi);
 *         MPI_Finalize();
 *
 * The communicator is duplicated, so stint's messages and the program's cannot meet; struct stint_mpi stays where it is
 * until stint_mpi_free.  MPI_THREAD_SINGLE is enough when stint is called by the thread that calls MPI.
 */
#ifndef STINT_MPI_H
#define STINT_MPI_H

#include <mpi.h>
#include "stint.h"

#ifdef __cplusplus
extern "C" {
#endif

#define STINT_MPI_WORDS 32 /* more than stint ever reduces */

struct stint_mpi {
        MPI_Comm comm;
        MPI_Request request;
        struct stint_agree agree;
        int64_t mine[STINT_MPI_WORDS];
};

/* The two callbacks of struct stint_agree.  The maxima go into the caller's own array, which MPI fills by the time
 * of wait. */
static inline int stint_mpi_begin(void *arg, int64_t *values, int n)
{
        struct stint_mpi *state = (struct stint_mpi *)arg;
        int i;

        if (n > STINT_MPI_WORDS)
                return -1;
        for (i = 0; i < n; i++)
                state->mine[i] = values[i];
        return MPI_Iallreduce(state->mine, values, n, MPI_INT64_T, MPI_MAX, state->comm, &state->request) == MPI_SUCCESS
                       ? 0
                       : -1;
}

static inline int stint_mpi_wait(void *arg)
{
        struct stint_mpi *state = (struct stint_mpi *)arg;

        return MPI_Wait(&state->request, MPI_STATUS_IGNORE) == MPI_SUCCESS ? 0 : -1;
}

/* Prepares *state on a duplicate of comm: collective.  Answers what belongs into options.agree, NULL when MPI
 * failed. */
static inline const struct stint_agree *stint_mpi_agree(struct stint_mpi *state, MPI_Comm comm)
{
        state->request = MPI_REQUEST_NULL;
        if (MPI_Comm_dup(comm, &state->comm) != MPI_SUCCESS) {
                state->comm = MPI_COMM_NULL;
                return NULL;
        }
        state->agree.begin = stint_mpi_begin;
        state->agree.wait = stint_mpi_wait;
        state->agree.arg = state;
        return &state->agree;
}

/* Fills rank, ranks and agree of the options: collective over comm.  0, or -1 when MPI failed. */
static inline int stint_mpi_options(struct stint_options *options, struct stint_mpi *state, MPI_Comm comm)
{
        options->agree = stint_mpi_agree(state, comm);
        if (!options->agree || MPI_Comm_rank(state->comm, &options->rank) != MPI_SUCCESS ||
            MPI_Comm_size(state->comm, &options->ranks) != MPI_SUCCESS)
                return -1;
        return 0;
}

/* Gives the duplicate back: collective, after stint_close and before MPI_Finalize. */
static inline void stint_mpi_free(struct stint_mpi *state)
{
        if (state->comm != MPI_COMM_NULL)
                MPI_Comm_free(&state->comm);
}

#ifdef __cplusplus
}
#endif
#endif
