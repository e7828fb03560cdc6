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
	Description: "W3C trace context; it is passed on to every command, event and reaction that follows",
}

// traceOf returns a request's W3C traceparent. If it is missing, repeated or
// malformed, a new one is made, as the recommendation says.
func traceOf(h http.Header) string {
	if values := h["Traceparent"]; len(values) == 1 && isTrace(values[0]) {
		return values[0]
	}
	var ids [24]byte
	binary.BigEndian.PutUint64(ids[:], rand.Uint64()|1) // a zero ID is invalid
	binary.BigEndian.PutUint64(ids[8:], rand.Uint64())
	binary.BigEndian.PutUint64(ids[16:], rand.Uint64()|1)
	return "00-" + hex.EncodeToString(ids[:16]) + "-" + hex.EncodeToString(ids[16:]) + "-01"
}

// traceID returns the trace ID, which is shared by everything that follows from a request.
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
