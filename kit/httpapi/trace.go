package httpapi

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

var traceParam = &huma.Param{
	Name: "traceparent", In: "header", Schema: &huma.Schema{Type: huma.TypeString},
	Description: "W3C trace context; it goes on to every command, event and reaction that follows",
}

// traceOf is a request's W3C traceparent. One that is missing, sent twice or
// malformed is replaced by a new one, as the recommendation says.
func traceOf(h http.Header) string {
	if sent := h["Traceparent"]; len(sent) == 1 && isTrace(sent[0]) {
		return sent[0]
	}
	var ids [24]byte
	binary.BigEndian.PutUint64(ids[:], rand.Uint64()|1) // never zero
	binary.BigEndian.PutUint64(ids[8:], rand.Uint64())
	binary.BigEndian.PutUint64(ids[16:], rand.Uint64()|1)
	return "00-" + hex.EncodeToString(ids[:16]) + "-" + hex.EncodeToString(ids[16:]) + "-01"
}

// traceID is what all that belongs together has in common.
func traceID(traceparent string) string { return traceparent[3:35] }

// isTrace reports whether s is a traceparent of version 00.
func isTrace(s string) bool {
	if len(s) != 55 || s[:3] != "00-" || s[35] != '-' || s[52] != '-' {
		return false
	}
	id, span := s[3:35], s[36:52]
	return isHex(id) && isHex(span) && isHex(s[53:]) && strings.Trim(id, "0") != "" && strings.Trim(span, "0") != ""
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
