package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/rs/cors"
)

// What a page of another origin may send and read, besides what every page may.
var (
	corsMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	corsTakes   = []string{"Accept", "Authorization", "Content-Type", keyHeader, consistencyHeader, "Prefer", "Last-Event-ID", "traceparent"}
	corsShows   = []string{consistencyHeader, "Location", "Retry-After", "Idempotent-Replayed", "Preference-Applied", "Allow",
		"Accept-Encoding", "WWW-Authenticate"}
)

// corsMaxAge is how many seconds a browser may remember what it was told.
const corsMaxAge = 600

// CheckCORSOrigins makes sure that these may be Config's CORSOrigins: origins as
// browsers send them, or "*" for all of them. The error says what they must be.
func CheckCORSOrigins(origins []string) error {
	for _, s := range origins {
		if err := CheckOrigin(s); s != "*" && (s == "" || err != nil || strings.Contains(s, "*")) {
			return fmt.Errorf("%q must be an origin such as https://www.example, without a path or a slash at the end, or *", s)
		}
	}
	return nil
}

// allowOrigins lets pages of other origins call the API. Cookies are none of
// it: an access token is sent by whoever holds it, and nobody else.
func allowOrigins(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	if slices.Contains(origins, "*") {
		origins = []string{"*"}
	}
	return cors.New(cors.Options{AllowedOrigins: origins, AllowedMethods: corsMethods, AllowedHeaders: corsTakes,
		ExposedHeaders: corsShows, MaxAge: corsMaxAge}).Handler(next)
}
