package httpapi

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

const keyHeader = "Idempotency-Key"

var keyParam = &huma.Param{
	Name: keyHeader, In: "header", Schema: &huma.Schema{Type: huma.TypeString, MinLength: new(1), MaxLength: new(255)},
	Description: "A repeated request with the same key and body changes nothing more and gets the same response; another body is rejected",
}

// commandID returns the ID of a request's command. It is derived from caller, route
// and key, so that a repeated request takes effect once; without a key it is random.
// All anonymous callers count as one caller here; their handlers must distinguish them.
func commandID(h http.Header, caller, pattern string) (string, error) {
	keys := h[keyHeader]
	if len(keys) == 0 {
		return eventlog.NewID(), nil
	}
	if len(keys) > 1 || !printable(keys[0]) {
		return "", errs.InvalidField(keyHeader, "must be sent once and have 1 to 255 printable ASCII characters")
	}
	return eventlog.DeriveID("http", caller, pattern, keys[0]), nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 255
}

// checkKey rejects a key on a route that would ignore it: its sender believes that the
// request can safely be repeated.
func checkKey(h http.Header, supported bool) error {
	if supported || len(h[keyHeader]) == 0 {
		return nil
	}
	return errs.InvalidField(keyHeader, "is not supported here: it does not make this request safe to repeat; send the request without it")
}
