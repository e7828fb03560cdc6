package projection

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Token is a consistency token: for some streams, the sequence that a reader
// wants to see. Written, it is "ORDERS:17.STOCK:4"; clients treat that as opaque.
type Token map[string]uint64

// ParseToken reads a token; parts that make no sense are left out, since a
// token is only ever a command for freshness.
func ParseToken(s string) Token {
	t := Token{}
	for part := range strings.SplitSeq(s, ".") {
		stream, number, _ := strings.Cut(part, ":")
		if seq, err := strconv.ParseUint(number, 10, 64); err == nil && stream != "" && len(t) < 16 {
			t[stream] = max(seq, t[stream])
		}
	}
	return t
}

// And adds what another reader wants to see, or an event that was recorded.
func (t Token) And(stream string, seq uint64) Token {
	t[stream] = max(seq, t[stream])
	return t
}

func (t Token) String() string {
	var b strings.Builder
	for _, stream := range slices.Sorted(maps.Keys(t)) {
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(stream + ":" + strconv.FormatUint(t[stream], 10))
	}
	return b.String()
}
