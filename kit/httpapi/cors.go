package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/rs/cors"
)

// What a page of another origin may send and read, besides what CORS always allows.
var (
	corsMethods         = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	corsRequestHeaders  = []string{"Accept", "Authorization", "Content-Type", keyHeader, consistencyHeader, "Prefer", "Last-Event-ID", "traceparent"}
	corsResponseHeaders = []string{consistencyHeader, "Location", "Retry-After", "Idempotent-Replayed", "Preference-Applied", "Allow",
		"Accept-Encoding", "WWW-Authenticate", "Content-Disposition"}
)

// corsMaxAge is how long a browser may cache the answer to a preflight request, in
// seconds.
const corsMaxAge = 600

// CheckCORSOrigins returns an error unless every entry may be in Config.CORSOrigins: an
// origin as browsers send it, or "*". The error names the first entry that may not.
func CheckCORSOrigins(origins []string) error {
	for _, s := range origins {
		if err := CheckOrigin(s); s != "*" && (s == "" || err != nil || strings.Contains(s, "*")) {
			return fmt.Errorf("%q must be an origin such as https://www.example, without a path or a trailing slash, or *", s)
		}
	}
	return nil
}

// allowOrigins lets pages of other origins call the API. Credentials are not allowed:
// the API uses no cookies, and a page sends an access token only if it has one.
func allowOrigins(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	if slices.Contains(origins, "*") {
		origins = []string{"*"}
	}
	return cors.New(cors.Options{AllowedOrigins: origins, AllowedMethods: corsMethods, AllowedHeaders: corsRequestHeaders,
		ExposedHeaders: corsResponseHeaders, MaxAge: corsMaxAge}).Handler(next)
}
