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
	Description: "The same caller, key and body give the same answer and change nothing more; another body is refused",
}

// commandID is the id of the command that a request makes. The same caller,
// route and key make the same id, so the command takes effect once; without a
// key every request is its own. Callers who are not signed in are all the same
// one here; their handler must tell them apart.
func commandID(h http.Header, caller, pattern string) (string, error) {
	keys := h[keyHeader]
	if len(keys) == 0 {
		return eventlog.NewID(), nil
	}
	if len(keys) > 1 || !printable(keys[0]) {
		return "", errs.InvalidField(keyHeader, "must be sent once and have 1 to 255 printable characters of ASCII")
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

// checkKey refuses a key that the route would ignore: whoever sends it believes
// that the request can be sent again.
func checkKey(h http.Header, taken bool) error {
	if taken || len(h[keyHeader]) == 0 {
		return nil
	}
	return errs.InvalidField(keyHeader, "is not taken here: the request is not made safe to repeat by it; send it without")
}
