package httpapi

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"lonja/kit/eventlog"
)

var traceParam = &huma.Param{
	Name: "traceparent", In: "header", Schema: &huma.Schema{Type: huma.TypeString},
	Description: "W3C trace context; it is passed on to every command, event and reaction that follows",
}

// trace is what everything that follows from a request has in common.
type trace struct {
	parent      string // W3C traceparent
	correlation string // Envelope.Correlation
	sent        bool   // by the client
}

// traceOf returns a request's trace. If its traceparent is missing, repeated or malformed, a
// new one is made, as the recommendation says.
func traceOf(h http.Header) trace {
	if values := h["Traceparent"]; len(values) == 1 && isTrace(values[0]) {
		return trace{values[0], traceID(values[0]), true}
	}
	parent := eventlog.TraceOf(eventlog.NewID())
	return trace{parent, traceID(parent), false}
}

// ofCommand returns the trace of a request with a command: the one that the client has sent,
// or else one that follows from the command's ID. Events need not store the latter; see
// eventlog.TraceOf.
func (t trace) ofCommand(id string) trace {
	if t.sent {
		return t
	}
	return trace{eventlog.TraceOf(id), id, false}
}

// id returns the trace's ID.
func (t trace) id() string { return traceID(t.parent) }

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
