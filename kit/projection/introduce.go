package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// IsIntroduced reports whether every replica reads the stream that the definition introduces, so
// that events may be recorded there. It is false while a replica of an earlier version runs, and for
// a week after one that was not upgraded has stopped: the server knows the consumers of replicas that
// are away. Without a replica whose view is built, it is false, too.
//
// A server that has just started may not know the consumer of a replica that has yet to reconnect,
// which takes seconds. Errors come from NATS. It panics if the definition introduces nothing.
func (v *View) IsIntroduced(ctx context.Context) (bool, error) {
	introduced := v.def.Introduces
	if introduced == "" {
		panic("projection: the definition of " + v.def.Name + " has no Introduces")
	}
	reading, err := v.readingReplicas(ctx, introduced)
	if err != nil || len(reading) == 0 {
		return false, err
	}
	for _, src := range v.def.Reads {
		others, err := v.readingReplicas(ctx, src.Stream)
		if err != nil || slices.ContainsFunc(others, func(replica string) bool { return !slices.Contains(reading, replica) }) {
			return false, err
		}
	}
	return true, nil
}

// readingReplicas returns the prefixes of the durable consumers that feed the view from a stream: one for
// each replica.
func (v *View) readingReplicas(ctx context.Context, name string) (replicas []string, err error) {
	stream, err := v.config.JetStream.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	names := stream.ConsumerNames(ctx)
	for consumer := range names.Name() {
		if replica, ok := strings.CutSuffix("-"+consumer, v.consumerSuffix(name)); ok {
			replicas = append(replicas, replica)
		}
	}
	if err := names.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return nil, fmt.Errorf("stream %s: the consumers cannot be listed: %w", name, err)
	}
	return replicas, nil
}

// consumerSuffix is how the names of the durable consumers of a stream end.
func (v *View) consumerSuffix(stream string) string {
	return "-" + v.def.Name + "-" + strings.ToLower(stream)
}
