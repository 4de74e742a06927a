/* The plugin in a unit test: no gateway, no network, no waiting. What it can do is in patchbay/mockhost.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <patchbay/mockhost.h>

static void check(int holds, const char *what, const char *got)
{
    if (holds) return;
    fprintf(stderr, "%s; it is: %s\n", what, got);
    exit(1);
}

static const char ini[] = "[connector \"@name@\"]\n"
                          "plugin   = @name@\n"
                          "greeting = Hi\n"
                          "[function \"hello\"]\n"
                          "params  = who:str\n"
                          "returns = str\n";

int main(int argc, char **argv)
{
    pbay_mock *m = pbay_mock_new(argc > 1 ? argv[1] : "build/plugins/@name@.so");
    check(pbay_mock_create(m, ini) == PBAY_OK, "an instance is made", pbay_mock_message(m));
    check(pbay_mock_start(m) == PBAY_OK, "it starts", pbay_mock_message(m));

    pbay_mock_call *call = pbay_mock_submit(m, "hello", "[[\"world\"],[null]]");
    check(pbay_mock_code(call) == PBAY_OK, "rows are answered", pbay_mock_why(call));
    check(!strcmp(pbay_mock_text(call), "[[\"Hi, world!\"],[null]]"), "each is greeted",
          pbay_mock_text(call));

    /* Here also: calls without an end, builders that are kept, requests that did not come. */
    pbay_mock_free(m);

    /* Whichever allocation fails, it says so and goes on. */
    for (unsigned n = 1, more = 1; more; n++) {
        m = pbay_mock_new(argc > 1 ? argv[1] : "build/plugins/@name@.so");
        pbay_mock_fail_allocation(m, n);
        if (pbay_mock_create(m, ini) != PBAY_OK)
            check(pbay_mock_message(m)[0] != 0, "a refusal has a message", "(none)");
        more = pbay_mock_fail_allocation(m, 0) >= n;
        pbay_mock_free(m);
    }
    puts("as it should be");
    return 0;
}
