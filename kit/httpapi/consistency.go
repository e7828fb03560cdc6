package httpapi

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"lonja/kit/projection"
)

const (
	consistencyHeader = "Consistency-Token"
	seenHeader        = "The position of the data in this answer. Sent back, it makes any replica show no less"
)

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
		merged = Merge(merged, s)
	}
	return merged
}

// Merge adds what a written consistency token, or a single position, speaks of to
// t, and returns t; a nil t stays nil when there is nothing to add. Parts that make
// no sense are left out, and so is everything beyond 16 streams.
func Merge(t projection.Token, written string) projection.Token {
	for stream, seq := range projection.ParseToken(written) {
		if !isName(stream) || len(t) >= 16 {
			continue
		}
		if t == nil {
			t = projection.Token{}
		}
		t = t.Add(stream, seq)
	}
	return t
}

// isName reports whether s can be a stream's name. What it lets through can stand
// in a header.
func isName(s string) bool {
	const may = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	return s != "" && len(s) <= 64 && strings.Trim(s, may) == ""
}
