package bus

import (
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"lonja/kit/streams"
)

// Redacted is a letter without what it holds when that may be a secret: when it died
// on a stream that is private by streams.yaml, or on its way from or to one. Its
// reason is hidden, too, since it may quote. Who may read private streams sees the
// letter itself; over HTTP nobody may.
func (l DeadLetter) Redacted(config *streams.Config) DeadLetter {
	if !l.isPrivate(config) {
		return l
	}
	l.Private, l.Headers, l.Data, l.Reason = true, nats.Header{}, "", "what it holds is not shown: lonja deadletters show shows it to the operator"
	return l
}

func (l DeadLetter) isPrivate(config *streams.Config) bool {
	private := func(name string) bool {
		i := slices.IndexFunc(config.Streams, func(s streams.Stream) bool { return s.Name == name })
		return i < 0 || config.Streams[i].PrivateTo() != "" // of one that is not known, who knows
	}
	if private(l.Stream) || slices.ContainsFunc(config.Streams, func(s streams.Stream) bool { return s.PrivateTo() != "" && l.tells(s) }) {
		return true
	}
	if l.Stream == RetryStream {
		_, stream, _, err := ParseRetry(l.Subject)
		return err != nil || private(stream)
	}
	return false
}

// tells reports whether a letter's subject, or one that its headers name, is one of
// a stream's, or of the service that the stream belongs to.
func (l DeadLetter) tells(s streams.Stream) bool {
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
