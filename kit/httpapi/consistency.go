package httpapi

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"lonja/kit/projection"
)

const (
	consistencyHeader = "Consistency-Token"
	seenHeader        = "The position of the data in this response. Sent back, it makes every replica show at least that state"
)

var consistencyParam = &huma.Param{
	Name: consistencyHeader, In: "header", Schema: &huma.Schema{Type: huma.TypeString},
	Description: "The token of an earlier response: this one reads at least that state",
}

var afterParam = &huma.Param{
	Name: "after", In: "query", Schema: &huma.Schema{Type: huma.TypeString},
	Description: "A " + consistencyHeader + ", in the URL of a redirect",
}

// consistencyTokenOf returns the token in a request's headers, nil for none. Parts that
// are malformed are ignored: a token only ever asks for fresher data.
func consistencyTokenOf(h http.Header) projection.Token {
	var merged projection.Token
	for _, s := range h[consistencyHeader] {
		if len(s) > 1024 {
			continue
		}
		merged = MergeToken(merged, s)
	}
	return merged
}

// MergeToken adds the positions in an encoded consistency token, or in a single encoded
// position, to t and returns t. A nil t stays nil when there is nothing to add.
// Malformed parts are ignored, and so are streams beyond the 16th.
func MergeToken(t projection.Token, encoded string) projection.Token {
	for stream, seq := range projection.ParseToken(encoded) {
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

// isName reports whether s can be the name of a stream or a command's ID. Such a name
// is safe in a header.
func isName(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	return s != "" && len(s) <= 64 && strings.Trim(s, allowed) == ""
}
