// Package streams makes JetStream look as streams.yaml says.
package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"sigs.k8s.io/yaml"

	"lonja/kit/natsauth"
)

// Config is streams.yaml.
type Config struct {
	Streams []Stream `json:"streams"`
}

// Stream is one stream and the consumers on it that replicas share.
type Stream struct {
	jetstream.StreamConfig
	Consumers []jetstream.ConsumerConfig `json:"consumers,omitempty"`
}

// Parse reads streams.yaml. Field names that JetStream does not know, and
// consumers whose name is used twice, are errors.
func Parse(data []byte) (*Config, error) {
	var c Config
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		return nil, fmt.Errorf("streams.yaml: %w", err)
	}
	seen := map[string]bool{}
	for _, s := range c.Streams {
		for _, cons := range s.Consumers {
			if cons.Durable == "" || seen[cons.Durable] {
				return nil, fmt.Errorf("streams.yaml: stream %s: durable_name %q is missing or used twice", s.Name, cons.Durable)
			}
			seen[cons.Durable] = true
		}
	}
	return &c, nil
}

// Apply makes the streams and consumers as streams.yaml says, as far as nothing
// can be lost by it; see Plan, which it carries out.
func (c *Config) Apply(ctx context.Context, js jetstream.JetStream, replicas int) error {
	plan, err := c.Plan(ctx, js, replicas)
	if err != nil {
		return err
	}
	return plan.Apply(ctx, js, nil)
}

// ErrMissing means that a stream of streams.yaml is not on the server.
var ErrMissing = errors.New("does not exist: restore it if it held events, otherwise apply streams.yaml")

// Check makes sure that streams are there, and returns in which fields they are
// not as streams.yaml says, as a line for each.
func (c *Config) Check(ctx context.Context, js jetstream.JetStream, names []string) (wrong []string, err error) {
	for _, s := range c.Streams {
		if !slices.Contains(names, s.Name) {
			continue
		}
		stream, err := js.Stream(ctx, s.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil, fmt.Errorf("stream %s %w", s.Name, ErrMissing)
		}
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", s.Name, err)
		}
		for _, d := range Compare(s.StreamConfig, stream.CachedInfo().Config) {
			wrong = append(wrong, fmt.Sprintf("stream %s: %s is %s; streams.yaml says %s", s.Name, d.Field, d.Is, d.Want))
		}
	}
	return wrong, nil
}

// Ensure looks a shared consumer up, and makes it again, from the stream's first
// message, when it is gone: every reaction may run again without harm. It is an
// error that there is none of this name in streams.yaml.
func (c *Config) Ensure(ctx context.Context, js jetstream.JetStream, durable string) (jetstream.Consumer, error) {
	stream, config, err := c.consumer(durable)
	if err != nil {
		return nil, err
	}
	cons, err := js.Consumer(ctx, stream, durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		cons, err = js.CreateOrUpdateConsumer(ctx, stream, config)
	}
	if err != nil {
		return nil, fmt.Errorf("consumer %s: %w", durable, err)
	}
	return cons, nil
}

// redone is how many messages a consumer may do again to be rid of those that
// somebody has who is dead; with more it is quicker to wait for ack_wait.
const redone = 2000

// GiveBack lets the shared consumers deliver at once what they delivered and what
// nobody acknowledged. It is meant for the start of a server whose clients died
// with it: else they would hold it until ack_wait. A consumer begins again at the
// first such message, and what was done after that changes nothing when it is
// done again. So it may be interrupted and repeated, and done while others work.
func (c *Config) GiveBack(ctx context.Context, js jetstream.JetStream) error {
	for _, s := range c.Streams {
		for _, want := range s.Consumers {
			cons, err := js.Consumer(ctx, s.Name, want.Durable)
			if err != nil {
				return fmt.Errorf("consumer %s: %w", want.Durable, err)
			}
			info := cons.CachedInfo()
			if info.NumAckPending == 0 || info.Delivered.Stream-info.AckFloor.Stream > redone {
				continue
			}
			if _, err := js.ResetConsumer(ctx, s.Name, want.Durable); err != nil {
				return fmt.Errorf("consumer %s: %w", want.Durable, err)
			}
		}
	}
	return nil
}

// Group is the priority group of a consumer, or "".
func (c *Config) Group(durable string) string {
	if _, config, err := c.consumer(durable); err == nil && len(config.PriorityGroups) > 0 {
		return config.PriorityGroups[0]
	}
	return ""
}

// Has reports whether there is a consumer of this name.
func (c *Config) Has(durable string) bool {
	_, _, err := c.consumer(durable)
	return err == nil
}

// Declares reports whether there is a stream of this name.
func (c *Config) Declares(stream string) bool {
	return slices.ContainsFunc(c.Streams, func(s Stream) bool { return s.Name == stream })
}

// Stream is the stream that a consumer is on, or "".
func (c *Config) Stream(durable string) string {
	stream, _, _ := c.consumer(durable)
	return stream
}

// Holding is the stream that records a subject, or "". The subject must have no
// wildcards.
func (c *Config) Holding(subject string) string {
	for _, s := range c.Streams {
		if slices.ContainsFunc(s.Subjects, func(f string) bool { return Matches(f, subject) }) {
			return s.Name
		}
	}
	return ""
}

// service is the key of a consumer's metadata that names the service which works on it.
const service = "service"

// ServiceOf is the service that works on a consumer: the one that its metadata
// names, or else what its name begins with, up to the first dash. So
// "orders-on-stock" is a consumer of "orders".
func (c *Config) ServiceOf(durable string) string {
	if _, config, err := c.consumer(durable); err == nil && config.Metadata[service] != "" {
		return config.Metadata[service]
	}
	name, _, _ := strings.Cut(durable, "-")
	return name
}

// Shared are the names of a stream's consumers.
func (c *Config) Shared(stream string) []string {
	var names []string
	for _, s := range c.Streams {
		if s.Name == stream {
			for _, cons := range s.Consumers {
				names = append(names, cons.Durable)
			}
		}
	}
	return names
}

// private is the key of a stream's metadata that names the one identity which
// may read all of it.
const private = "private"

// Private is the one identity that may read all of a stream, "" when anybody
// who works here may.
func (s Stream) Private() string { return s.Metadata[private] }

// ObserverPermissions is what it takes to look at all streams that are not private,
// and to change nothing: no consumer can be made, and nothing published.
func (c *Config) ObserverPermissions() natsauth.Permissions {
	g := natsauth.AllowMonitoring()
	for _, s := range c.Streams {
		if s.Private() == "" {
			g.Add(natsauth.AllowRead(s.Name), natsauth.Permissions{Subscribe: s.Subjects})
		}
	}
	return g
}

// Readers are the durable names of the shared consumers that get what is
// recorded on a stream's subject.
func (c *Config) Readers(stream, subject string) []string {
	var names []string
	for _, s := range c.Streams {
		for _, cons := range s.Consumers {
			if s.Name == stream && slices.ContainsFunc(cons.FilterSubjects, func(f string) bool { return Matches(f, subject) }) {
				names = append(names, cons.Durable)
			}
		}
	}
	return names
}

// Matches reports whether a filter, which may hold wildcards, takes all of a subject.
func Matches(filter, subject string) bool {
	f, s := strings.Split(filter, "."), strings.Split(subject, ".")
	for i, token := range f {
		if token == ">" {
			return len(s) > i
		}
		if i >= len(s) || token != "*" && token != s[i] {
			return false
		}
	}
	return len(f) == len(s)
}

func (c *Config) consumer(durable string) (stream string, config jetstream.ConsumerConfig, err error) {
	for _, s := range c.Streams {
		for _, cons := range s.Consumers {
			if cons.Durable == durable {
				return s.Name, cons, nil
			}
		}
	}
	return "", config, fmt.Errorf("streams.yaml has no consumer %q", durable)
}
