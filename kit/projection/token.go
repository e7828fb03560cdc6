package projection

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Token is a consistency token: for each stream that it names, the sequence up to which
// the reader wants to see the events. Its text form is "ORDERS:17.STOCK:4", which clients
// treat as opaque. A nil Token asks for nothing and must not be added to.
type Token map[string]uint64

// maxStreams is how many streams a token may name, partitions included.
const maxStreams = 64

// ParseToken parses the text form of a token. It ignores malformed parts, and streams
// beyond the 64th, since a token only asks for fresher data. The result is never nil.
func ParseToken(s string) Token {
	t := Token{}
	for part := range strings.SplitSeq(s, ".") {
		stream, number, _ := strings.Cut(part, ":")
		if seq, err := strconv.ParseUint(number, 10, 64); err == nil && stream != "" && len(t) < maxStreams {
			t[stream] = max(seq, t[stream])
		}
	}
	return t
}

// Add raises the stream's sequence to seq if it is lower. It changes t and returns it.
func (t Token) Add(stream string, seq uint64) Token {
	t[stream] = max(seq, t[stream])
	return t
}

// String returns the text form, with the streams in alphabetical order.
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
