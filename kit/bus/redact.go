package bus

import (
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"lonja/kit/streams"
)

// Redacted returns the dead letter without its headers, data and reason when these may hold a
// secret: when the message failed on a stream that is private according to config, or on its
// way from or to one. The reason may quote the message. Only someone who may read private
// streams may see the dead letter itself, and nobody may over HTTP.
func (l DeadLetter) Redacted(config *streams.Config) DeadLetter {
	if !l.isPrivate(config) {
		return l
	}
	l.Private, l.Headers, l.Data, l.Reason = true, nats.Header{}, "", "what it holds is not shown: lonja deadletters show shows it to the operator"
	return l
}

func (l DeadLetter) isPrivate(config *streams.Config) bool {
	private := func(name string) bool {
		i := slices.IndexFunc(config.Streams, func(s streams.Stream) bool { return s.Name == streams.BaseOf(name) })
		return i < 0 || config.Streams[i].PrivateTo() != "" // an unknown stream may be private
	}
	if private(l.Stream) || slices.ContainsFunc(config.Streams, func(s streams.Stream) bool { return s.PrivateTo() != "" && l.mentions(s) }) {
		return true
	}
	if l.Stream == RetryStream {
		_, stream, _, err := ParseRetry(l.Subject)
		return err != nil || private(stream)
	}
	return false
}

// mentions reports whether the dead letter's subject, or one that its headers hold, belongs to
// a stream or to the service that alone may read it.
func (l DeadLetter) mentions(s streams.Stream) bool {
	named := []string{l.Subject}
	for _, values := range l.Headers {
		named = append(named, values...)
	}
	for _, subject := range named {
		if slices.ContainsFunc(s.Subjects, func(filter string) bool { return streams.Matches(filter, subject) }) {
			return true
		}
	}
	tokens := strings.Split(l.Subject, ".")
	return len(tokens) > 1 && tokens[1] == s.PrivateTo() // deferred.identity.…
}
