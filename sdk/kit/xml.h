/* SPDX-License-Identifier: MIT */
/*
 * The text of an element in the XML that AWS's query protocol and S3 answer. Not an XML parser: it looks for
 * tags without attributes of their own, as those services write them, and skips declarations and comments.
 *
 * https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html (Examples),
 * https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#RESTErrorResponses
 * Threads: any.
 */
#pragma once

#include <patchbay/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What stands between <name> (attributes are passed over) and the </name> that follows, from *at on; *at
 * moves behind it. Borrows; entities as they are. {NULL, 0}: there is none.
 */
pbay_str pbay_xml_next(pbay_str xml, size_t *at, const char *name);
/* The first one. */
pbay_str pbay_xml_element(pbay_str xml, const char *name);
/*
 * The characters meant: &lt; &gt; &amp; &quot; &apos; and numeric references as UTF-8. out has room for in.n.
 * Returns the length, or -1: another entity, or a character that XML does not have.
 */
ptrdiff_t pbay_xml_text(pbay_str in, char *out);

#ifdef __cplusplus
}
#endif
