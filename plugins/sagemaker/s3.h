/* SPDX-License-Identifier: MIT */
/*
 * Objects of S3: the address of one, and uploads of any size.
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html, CreateMultipartUpload, UploadPart,
 * CompleteMultipartUpload, AbortMultipartUpload. Up to one part: PutObject. More: a multipart upload,
 * PARALLEL parts at once, aborted when it fails or is cancelled, so that nothing is left to pay for. [loop]
 */
#pragma once

#include "aws_call.h"

enum { S3_PART = 8 << 20, S3_PARALLEL = 3, S3_BUCKET = 63, S3_KEY = 1024 };

/* A bucket's name as AWS has them since 2018: what stands in a host must not be able to become another. */
int s3_bucket_valid(pbay_str bucket);
/* s3://bucket/key into its halves. 0, or -1. Borrows. */
int s3_uri(pbay_str uri, pbay_str *bucket, pbay_str *key);
/*
 * Fill service, host_label, path and query of a request. room: S3_BUCKET + 3 * S3_KEY + 3 bytes that live as
 * long as the request. The bucket stands in the host where AWS has the service and the name has no dot, else
 * in the path.
 */
void s3_address(const struct aws *a, pbay_str bucket, pbay_str key, char *room, struct aws_request *r);

struct s3_upload;
/*
 * The end, exactly once, never from inside one of these functions. etag: empty on failure. The struct is gone
 * afterwards.
 */
typedef void s3_upload_done(void *user, const pbay_result *result, pbay_str etag);

/* Everything is copied. headers: Content-Type, x-amz-server-side-encryption, ... */
struct s3_upload *s3_upload_open(struct aws *a, pbay_str bucket, pbay_str key, const pbay_header *headers,
                                 uint32_t n, int64_t deadline_ns, s3_upload_done *done,
                                 void (*room)(void *user), void *user);
/* Copies. PBAY_OK; PBAY_LATER: taken, but wait for room() before more; PBAY_CANCELLED: it has failed, done
 * comes. */
int32_t s3_upload_write(struct s3_upload *u, pbay_str piece);
/* There is no more. */
void s3_upload_finish(struct s3_upload *u);
/* What was sent is taken back; done comes with PBAY_CANCELLED. */
void s3_upload_cancel(struct s3_upload *u);
