package gateway

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"lonja/events"
	"lonja/kit/projection"
)

const consistencyHeader = "Consistency-Token"

var consistencyParam = &huma.Param{
	Name: consistencyHeader, In: "header", Schema: &huma.Schema{Type: huma.TypeString},
	Description: "The token of an earlier answer: this one is given when it can show as much",
}

var afterParam = &huma.Param{
	Name: "after", In: "query", Schema: &huma.Schema{Type: huma.TypeString},
	Description: "A " + consistencyHeader + ", of a browser that was sent here",
}

// seenBy is what the one who asks has seen, nil for nothing. A part of a token
// that makes no sense is left out: a token is only ever a command for freshness.
func seenBy(h http.Header) projection.Token {
	var merged projection.Token
	for _, s := range h[consistencyHeader] {
		if len(s) > 1024 {
			continue
		}
		merged = seen(merged, s)
	}
	return merged
}

// seen adds what a written token speaks of.
func seen(t projection.Token, written string) projection.Token {
	for stream, seq := range projection.ParseToken(written) {
		if !events.IsToken(stream) || len(t) >= 16 {
			continue
		}
		if t == nil {
			t = projection.Token{}
		}
		t = t.And(stream, seq)
	}
	return t
}
