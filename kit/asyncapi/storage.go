package asyncapi

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"lonja/kit/streams"
)

// addStorage notes for each channel which stream keeps its messages.
func (b *builder) addStorage() {
	for _, c := range b.doc.Channels {
		for _, s := range b.Streams.Streams {
			if !slices.ContainsFunc(s.Subjects, func(f string) bool { return streams.Matches(f, c.pattern) }) {
				continue
			}
			c.XJetStream = &Stored{Stream: s.Name, Private: s.PrivateTo()}
			for _, consumer := range s.Consumers {
				if slices.ContainsFunc(consumer.FilterSubjects, func(f string) bool { return overlap(f, c.pattern) }) {
					c.XJetStream.Consumers = append(c.XJetStream.Consumers, Consumer{consumer.Durable, consumer.Description})
				}
			}
		}
	}
}

// overlap reports whether a subject can match both filters.
func overlap(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		switch {
		case x[i] == ">" || y[i] == ">":
			return true
		case x[i] != "*" && y[i] != "*" && x[i] != y[i]:
			return false
		}
	}
	return len(x) == len(y)
}

// Uncovered returns an error when the document and streams.yaml disagree: when no
// channel has a subject that a stream or a consumer takes, or when no stream keeps a
// channel that must be kept. It names each.
func (d *Document) Uncovered(config *streams.Config) error {
	var wrong []error
	for _, s := range config.Streams {
		for _, subject := range s.Subjects {
			if !d.any(func(c *Channel) bool { return streams.Matches(subject, c.pattern) }) {
				wrong = append(wrong, fmt.Errorf("stream %s keeps %s, which is the subject of no channel", s.Name, subject))
			}
		}
		for _, consumer := range s.Consumers {
			for _, filter := range consumer.FilterSubjects {
				if !d.any(func(c *Channel) bool { return overlap(filter, c.pattern) }) {
					wrong = append(wrong, fmt.Errorf("consumer %s delivers %s, which is the subject of no channel", consumer.Durable, filter))
				}
			}
		}
	}
	for key, c := range d.Channels {
		kept := !slices.Contains([]Kind{Commands, Queries, Answers, Changes, Operator}, c.kind)
		switch {
		case kept && c.XJetStream == nil:
			wrong = append(wrong, fmt.Errorf("channel %s of %s is stored by no stream", key, c.kind))
		case !kept && c.XJetStream != nil:
			wrong = append(wrong, fmt.Errorf("channel %s of %s is kept by stream %s", key, c.kind, c.XJetStream.Stream))
		}
	}
	return errors.Join(wrong...)
}

func (d *Document) any(is func(*Channel) bool) bool {
	for _, c := range d.Channels {
		if is(c) {
			return true
		}
	}
	return false
}
