/* A relay client as game mods have it: libcurl's mime form, one part named "file", success only at HTTP 200.
 *
 *   relay_client URL TOKEN FILE      prints the answer; exit status 0 at 200, 1 at any other status, 2 without an answer
 */
#include <stdio.h>

#if __has_include(<curl/curl.h>)
#include <curl/curl.h>
#else
/* libcurl without its headers: the few names that are used, with the values that its ABI has kept since 7.56. */
typedef void CURL;
typedef struct curl_mime curl_mime;
typedef struct curl_mimepart curl_mimepart;
struct curl_slist;
enum { CURLE_OK = 0, CURLOPT_URL = 10002, CURLOPT_HTTPHEADER = 10023, CURLOPT_MIMEPOST = 10269 };
enum { CURLINFO_RESPONSE_CODE = 0x200002 };
CURL *curl_easy_init(void);
int curl_easy_setopt(CURL *, int, ...);
int curl_easy_perform(CURL *);
int curl_easy_getinfo(CURL *, int, ...);
void curl_easy_cleanup(CURL *);
struct curl_slist *curl_slist_append(struct curl_slist *, const char *);
void curl_slist_free_all(struct curl_slist *);
curl_mime *curl_mime_init(CURL *);
curl_mimepart *curl_mime_addpart(curl_mime *);
int curl_mime_name(curl_mimepart *, const char *);
int curl_mime_filedata(curl_mimepart *, const char *);
void curl_mime_free(curl_mime *);
#endif

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    char header[256];
    snprintf(header, sizeof header, "X-Auth-Token: %s", argv[2]);

    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, header);
    curl_mime *form = curl_mime_init(curl);
    curl_mimepart *part = curl_mime_addpart(form);
    curl_mime_name(part, "file");
    curl_mime_filedata(part, argv[3]);
    curl_easy_setopt(curl, CURLOPT_URL, argv[1]);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_MIMEPOST, form);

    long status = 0;
    int failed = curl_easy_perform(curl) != CURLE_OK;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_mime_free(form);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return failed ? 2 : status != 200;
}
