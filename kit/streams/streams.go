// Package streams manages JetStream streams and consumers as code.
//
// A file, streams.yaml by convention, declares the streams and the durable consumers
// that replicas share, with JetStream's own field names and units: durations are
// nanoseconds. [Config.Plan] compares it with a server, and [Plan.Apply] changes what
// differs. Both can run at every start and next to running services:
//
//   - Nothing is ever deleted. Streams that the file does not name are left alone.
//   - A change that JetStream cannot make stops the whole plan before its first
//     change, and so does one that may delete messages, unless the caller allows that
//     for its stream. The error explains what to do.
//   - num_replicas is only a default for new streams: the operator of a cluster
//     chooses it.
//
// Two metadata keys have a meaning here: "private" on a stream names the only
// identity that may read all of it, and "service" on a consumer names the service
// that works on it. The package also reports which stream stores a subject, and which
// consumers receive it.
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

// Config is the content of streams.yaml. Its methods do not change it.
type Config struct {
	Streams []Stream `json:"streams"`
	// Layout is that of With; nil for what the file says.
	Layout Layout `json:"-"`
}

// Stream is a stream and its shared consumers: the durable ones on which all replicas
// of a service work together.
type Stream struct {
	jetstream.StreamConfig
	Consumers []jetstream.ConsumerConfig `json:"consumers,omitempty"`
}

// Parse parses streams.yaml. It returns an error for a field that JetStream does not
// know, and for a consumer whose durable_name is missing or used twice, be it on
// another stream.
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

// Apply plans and applies in one step, without permission to delete messages. Replicas
// are as in [Config.Plan], errors as in [Plan.Apply].
func (c *Config) Apply(ctx context.Context, js jetstream.JetStream, replicas int) error {
	plan, err := c.Plan(ctx, js, replicas)
	if err != nil {
		return err
	}
	return plan.Apply(ctx, js, nil)
}

// ErrMissing reports that a stream of streams.yaml is not on the server.
var ErrMissing = errors.New("does not exist: restore it if it held events, otherwise apply streams.yaml")

// Check compares the named streams with streams.yaml, and changes nothing. It returns
// one sentence for each field that differs, without num_replicas. The error wraps
// [ErrMissing] if one of the streams does not exist. Names that streams.yaml does not
// declare are ignored.
func (c *Config) Check(ctx context.Context, js jetstream.JetStream, names []string) (differences []string, err error) {
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
			differences = append(differences, fmt.Sprintf("stream %s: %s is %s; streams.yaml says %s", s.Name, d.Field, d.Is, d.Want))
		}
	}
	return differences, nil
}

// Ensure returns a shared consumer. If it does not exist, Ensure creates it at the
// stream's first message, so all messages are delivered again: handlers must be
// idempotent. It returns an error if streams.yaml has no consumer of this name.
func (c *Config) Ensure(ctx context.Context, js jetstream.JetStream, durable string) (jetstream.Consumer, error) {
	return c.EnsureOn(ctx, js, c.StreamOf(durable), durable)
}

// EnsureOn is Ensure for the consumer on one of its stream's partitions.
func (c *Config) EnsureOn(ctx context.Context, js jetstream.JetStream, stream, durable string) (jetstream.Consumer, error) {
	config, err := c.consumerOn(stream, durable)
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

// maxRedelivered is how many messages a consumer may deliver again to get back those
// that died with their client. If there are more, waiting for ack_wait is faster.
const maxRedelivered = 2000

// Redeliver makes the shared consumers deliver their unacknowledged messages at once,
// instead of after ack_wait. Call it when a server starts whose clients ended with it.
// Each consumer restarts at its first unacknowledged message, so later ones that were
// acknowledged are delivered again: handlers must be idempotent. A consumer for which
// that would be more than 2000 messages is left alone. Redeliver may be interrupted,
// repeated, and called while clients are working. It returns an error if a consumer
// does not exist.
func (c *Config) Redeliver(ctx context.Context, js jetstream.JetStream) error {
	for _, s := range c.Streams {
		for _, want := range s.Consumers {
			cons, err := js.Consumer(ctx, s.Name, want.Durable)
			if err != nil {
				return fmt.Errorf("consumer %s: %w", want.Durable, err)
			}
			info := cons.CachedInfo()
			if info.NumAckPending == 0 || info.Delivered.Stream-info.AckFloor.Stream > maxRedelivered {
				continue
			}
			if _, err := js.ResetConsumer(ctx, s.Name, want.Durable); err != nil {
				return fmt.Errorf("consumer %s: %w", want.Durable, err)
			}
		}
	}
	return nil
}

// PriorityGroup returns the first priority group of a consumer; "" if it has none, or
// does not exist.
func (c *Config) PriorityGroup(durable string) string {
	if _, config, err := c.consumer(durable); err == nil && len(config.PriorityGroups) > 0 {
		return config.PriorityGroups[0]
	}
	return ""
}

// HasConsumer reports whether streams.yaml has a shared consumer of this name.
func (c *Config) HasConsumer(durable string) bool {
	_, _, err := c.consumer(durable)
	return err == nil
}

// HasStream reports whether streams.yaml has a stream of this name.
func (c *Config) HasStream(stream string) bool {
	return slices.ContainsFunc(c.Streams, func(s Stream) bool { return s.Name == stream })
}

// StreamOf returns the stream of a shared consumer, partition 0 if there are several; "" if there is
// no such consumer.
func (c *Config) StreamOf(durable string) string {
	stream, _, _ := c.consumer(durable)
	return stream
}

// StreamsOf returns the streams that have a shared consumer: its stream, and that stream's further
// partitions; nil if there is no such consumer.
func (c *Config) StreamsOf(durable string) []string {
	stream, _, err := c.consumer(durable)
	if err != nil {
		return nil
	}
	return c.Layout.Partitions(stream)
}

// StreamFor returns the stream that stores a subject; "" if none does. The subject
// must not contain wildcards.
func (c *Config) StreamFor(subject string) string {
	for _, s := range c.Streams {
		if slices.ContainsFunc(s.Subjects, func(f string) bool { return Matches(f, subject) }) {
			return s.Name
		}
	}
	return ""
}

// serviceKey is the metadata key of a consumer that names the service working on it.
const serviceKey = "service"

// ServiceOf returns the name of the service that works on a consumer. It is the value
// of "service" in the consumer's metadata or, without that, the part of its name
// before the first dash: "orders-on-stock" belongs to "orders".
func (c *Config) ServiceOf(durable string) string {
	if _, config, err := c.consumer(durable); err == nil && config.Metadata[serviceKey] != "" {
		return config.Metadata[serviceKey]
	}
	name, _, _ := strings.Cut(durable, "-")
	return name
}

// SharedConsumers returns the durable names of a stream's shared consumers.
func (c *Config) SharedConsumers(stream string) []string {
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

// privateKey is the metadata key of a stream that names the only identity which may
// read all of it.
const privateKey = "private"

// PrivateTo returns the only identity that may read all of the stream, which is the
// value of "private" in its metadata. "" means that every identity may.
func (s Stream) PrivateTo() string { return s.Metadata[privateKey] }

// ObserverPermissions returns the permissions to read all streams that are not
// private, and to change nothing: they permit no consumer and no publishing. The inbox
// is not included; see [natsauth.AllowInbox].
func (c *Config) ObserverPermissions() natsauth.Permissions {
	p := natsauth.AllowMonitoring()
	for _, s := range c.Streams {
		if s.PrivateTo() == "" {
			p.Add(natsauth.AllowRead(s.Name), natsauth.Permissions{Subscribe: s.Subjects})
		}
	}
	return p
}

// ConsumersOf returns the durable names of the shared consumers that receive the
// messages on a subject of a stream. The stream may be a partition that the configuration does not
// have.
func (c *Config) ConsumersOf(stream, subject string) []string {
	if !c.HasStream(stream) {
		stream, subject = BaseOf(stream), BaseSubject(subject)
	}
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

// Matches reports whether a filter, which may contain wildcards, matches every subject
// that the second argument stands for.
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

func (c *Config) consumerOn(stream, durable string) (jetstream.ConsumerConfig, error) {
	for _, s := range c.Streams {
		for _, cons := range s.Consumers {
			if s.Name == stream && cons.Durable == durable {
				return cons, nil
			}
		}
	}
	return jetstream.ConsumerConfig{}, fmt.Errorf("streams.yaml has no consumer %q", durable)
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
