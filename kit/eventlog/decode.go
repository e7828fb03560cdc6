package eventlog

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/nats-io/nats.go"

	"lonja/kit/streams"
)

// Read is Decode for a message that the server has just delivered from this stream and
// sequence. It also records that the stream reaches that far. It must not be called for a
// message from any other origin, which could make the log appear to have lost events: use At
// or Decode. Read cannot fail; Record.Err says what is wrong with the message.
func (l *Log) Read(stream string, seq uint64, subject string, h nats.Header, data []byte) Record {
	l.ends.raise(stream, seq)
	return l.Decode(stream, seq, subject, h, data)
}

// Decode decodes a message that only claims to be at this position of the log. Like Read,
// it cannot fail, but it notes nothing about the stream.
func (l *Log) Decode(stream string, seq uint64, subject string, h nats.Header, data []byte) Record {
	r := Record{Stream: stream, Sequence: seq, Number: l.Layout.Number(stream, seq), Subject: subject, Headers: h, Data: data}
	for _, key := range []string{HeaderID, HeaderType, HeaderCausation} {
		if values := h[key]; len(values) != 1 {
			r.Err = fmt.Errorf("header %s occurs %d times; an event has it once", key, len(values))
			return r
		} else if values[0] == "" {
			r.Err = fmt.Errorf("header %s is empty", key)
			return r
		}
	}
	if r.Envelope, r.Err = ParseEnvelope(h.Get); r.Err != nil {
		return r
	}
	r.Envelope = r.Envelope.complete()
	e, unavailable, err := l.decode(r.Type, subject, data)
	subject = streams.BaseSubject(subject)
	switch {
	case unavailable:
		r.Err, r.Unavailable = err, true
	case err != nil:
		r.Err, r.UnknownType = err, l.codec.Knows != nil && !l.codec.Knows(r.Type) && fits(r.Type, subject)
	case l.codec.Subject(e) != subject:
		r.Err = fmt.Errorf("%s of %q does not belong on subject %s", r.Type, e.EntityID(), subject)
	default:
		r.Event = e
	}
	return r
}

// version matches the version that an event type ends with.
var version = regexp.MustCompile(`\.v[0-9]+$`)

// fits reports whether an unknown type can be that of an event on a subject:
// "app.order.gifted.v1", in any version, fits "events.order.ord_1.gifted".
func fits(typ, subject string) bool {
	tokens := strings.Split(subject, ".")
	name, n := version.ReplaceAllString(typ, ""), len(tokens)
	return n > 3 && name != typ && strings.HasSuffix(name, "."+tokens[n-3]+"."+tokens[n-1])
}
