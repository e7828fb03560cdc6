package streams

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/natsauth"
)

// With returns the configuration with the partitions of a layout: each is a stream like the one
// that it is a partition of, with consumers of the same names. The counts are in the metadata of
// partition 0, so the layout is where the events are.
func (c *Config) With(l Layout) *Config {
	if len(l) == 0 {
		return c
	}
	all := &Config{Layout: l}
	for _, s := range c.Streams {
		counts := l[s.Name]
		if counts == nil {
			all.Streams = append(all.Streams, s)
			continue
		}
		for k := range l.newest(s.Name) {
			all.Streams = append(all.Streams, s.partition(k, counts))
		}
	}
	return all
}

// partition returns a partition of a stream.
func (s Stream) partition(k int, counts []Count) Stream {
	p := s
	if k == 0 {
		p.Metadata = withKey(s.Metadata, partitionsKey, formatCounts(counts))
		return p
	}
	p.Name, p.Consumers = partition(s.Name, k), slices.Clone(s.Consumers)
	p.Subjects = SubjectsOn(p.Name, s.Subjects)
	for i := range p.Consumers {
		p.Consumers[i].FilterSubjects = SubjectsOn(p.Name, p.Consumers[i].FilterSubjects)
	}
	for _, count := range counts {
		if count.Partitions > k {
			if count.From > 1 {
				p.FirstSeq = count.From
			}
			break
		}
	}
	return p
}

// withKey returns metadata with another key.
func withKey(metadata map[string]string, key, value string) map[string]string {
	more := map[string]string{key: value}
	for k, v := range metadata {
		if k != key {
			more[k] = v
		}
	}
	return more
}

// isOfEvents reports whether all that a stream stores is events, of which everyone may know the
// positions. So it may be partitioned.
func (s Stream) isOfEvents() bool {
	return len(s.Subjects) > 0 && s.PrivateTo() == "" && !slices.ContainsFunc(s.Subjects, func(subject string) bool {
		return strings.Count(subject, ".") < 2 || !strings.HasPrefix(subject, eventsToken+".")
	})
}

// ReadLayout returns the layout of the named streams as the server has it; without names, of all
// streams of events that may have partitions. A stream that does not exist has none. The error is
// that of the server, or says that the counts in a stream's metadata cannot be read.
func (c *Config) ReadLayout(ctx context.Context, js jetstream.JetStream, names ...string) (Layout, error) {
	var l Layout
	for _, s := range c.Streams {
		if !s.isOfEvents() || len(names) > 0 && !slices.Contains(names, s.Name) {
			continue
		}
		stream, err := js.Stream(ctx, s.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", s.Name, err)
		}
		counts, err := parseCounts(stream.CachedInfo().Config.Metadata[partitionsKey])
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", s.Name, err)
		}
		if counts != nil {
			if l == nil {
				l = Layout{}
			}
			l[s.Name] = counts
		}
	}
	return l, nil
}

// Present returns the configuration with the partitions that the server has. The errors are those of
// ReadLayout.
func (c *Config) Present(ctx context.Context, js jetstream.JetStream) (*Config, error) {
	l, err := c.ReadLayout(ctx, js)
	return c.With(l), err
}

// Grow returns the configuration with the server's partitions, and with more of them where the wanted
// number is greater. It changes nothing: apply the result. The errors are those of ReadLayout and of
// CheckWanted; that a number is less than before; and that a service is running, when a number is greater: it would go on
// recording new entities where the old number puts them. Services are recognized by their requests for the messages
// of shared consumers.
func (c *Config) Grow(ctx context.Context, js jetstream.JetStream, wanted map[string]int) (*Config, error) {
	if err := c.CheckWanted(wanted); err != nil {
		return nil, err
	}
	now, err := c.ReadLayout(ctx, js)
	if err != nil {
		return nil, err
	}
	grown := Layout{}
	maps.Copy(grown, now)
	for _, stream := range slices.Sorted(maps.Keys(wanted)) {
		switch is, n := now.newest(stream), wanted[stream]; {
		case n < is:
			return nil, fmt.Errorf("stream %s has %d partitions: %w", stream, is, ErrShrink)
		case n > is:
			if grown[stream], err = c.grow(ctx, js, stream, now, n); err != nil {
				return nil, err
			}
		}
	}
	return c.With(grown), nil
}

// ErrShrink is the error of Grow when there are more partitions than are wanted.
var ErrShrink = errors.New("the number can only grow")

// CheckWanted returns an error if one of the wanted partitions cannot be: the stream is no stream of
// events, or a private one, or the number is not 1 to MaxPartitions.
func (c *Config) CheckWanted(wanted map[string]int) error {
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		i := slices.IndexFunc(c.Streams, func(s Stream) bool { return s.Name == name })
		if i < 0 || !c.Streams[i].isOfEvents() {
			return fmt.Errorf("%q is not a stream that may have partitions: those have events only, and are not private", name)
		}
		if n := wanted[name]; n < 1 || n > MaxPartitions {
			return fmt.Errorf("stream %s may have 1 to %d partitions, not %d", name, MaxPartitions, n)
		}
	}
	return nil
}

// WithWanted returns the configuration of a shop that begins with the wanted partitions, for what
// depends only on how many there are, such as permissions. The error is that of CheckWanted.
func (c *Config) WithWanted(wanted map[string]int) (*Config, error) {
	l := Layout{}
	for stream, n := range wanted {
		if n > 1 {
			l[stream] = []Count{{Partitions: n, From: 1}}
		}
	}
	return c.With(l), c.CheckWanted(wanted)
}

// grow returns the counts of a stream with another one.
func (c *Config) grow(ctx context.Context, js jetstream.JetStream, name string, now Layout, n int) ([]Count, error) {
	end := uint64(0)
	for _, partition := range now.Partitions(name) {
		stream, err := js.Stream(ctx, partition)
		if errors.Is(err, jetstream.ErrStreamNotFound) && now[name] == nil {
			return []Count{{Partitions: n, From: 1}}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", partition, err)
		}
		end = max(end, stream.CachedInfo().State.LastSeq)
	}
	if err := c.With(now).checkIdle(ctx, js); err != nil {
		return nil, fmt.Errorf("stream %s cannot get another partition now: %w", name, err)
	}
	counts := now[name]
	if counts == nil {
		counts = []Count{{Partitions: 1, From: 1}}
	}
	return append(slices.Clone(counts), Count{Partitions: n, From: end + 1}), nil
}

// checkIdle returns an error if somebody waits for messages of a shared consumer.
func (c *Config) checkIdle(ctx context.Context, js jetstream.JetStream) error {
	for _, s := range c.Streams {
		for _, want := range s.Consumers {
			cons, err := js.Consumer(ctx, s.Name, want.Durable)
			if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
				continue
			}
			if err != nil {
				return fmt.Errorf("consumer %s: %w", want.Durable, err)
			}
			if cons.CachedInfo().NumWaiting > 0 {
				return fmt.Errorf("service %s is running (consumer %s has a waiting request); stop all services first, and start them again afterwards", c.ServiceOf(want.Durable), want.Durable)
			}
		}
	}
	return nil
}

// Permissions returns permissions with those for the same things on all partitions: what is permitted on a
// stream is permitted on each of its partitions.
func (c *Config) Permissions(p natsauth.Permissions) natsauth.Permissions {
	if c.Layout == nil {
		return p
	}
	streamOf := map[string]string{}
	for _, s := range c.Streams {
		if _, k := split(s.Name); k == 0 && s.isOfEvents() {
			for _, subject := range s.Subjects {
				streamOf[strings.Split(subject, ".")[1]] = s.Name
			}
		}
	}
	return p.Widened(func(subject string) []string { return c.Layout.subjects(subject, streamOf) })
}
