package keyring

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Usage is which key-encryption keys wrap the keys of a stream.
type Usage struct {
	ByKEK     map[string]int // how many keys each wraps, by its id
	Destroyed int            // how many owners' keys were destroyed
}

// usagePatience limits the wait for the next message of the stream.
const usagePatience = 5 * time.Second

// ReadUsage reads the whole stream. It needs no key-encryption keys. A service may need more
// permissions for it than PermissionsToUse: it is for operators.
func ReadUsage(ctx context.Context, js jetstream.JetStream) (Usage, error) {
	u := Usage{ByKEK: map[string]int{}}
	newest, err := js.OrderedConsumer(ctx, Stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{Subject("*")}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
	})
	if err != nil {
		return u, fmt.Errorf("read %s: %w", Stream, err)
	}
	if newest.CachedInfo().NumPending == 0 {
		return u, nil
	}
	messages, err := newest.Messages()
	if err != nil {
		return u, fmt.Errorf("read %s: %w", Stream, err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextMaxWait(usagePatience))
		if err != nil {
			return u, fmt.Errorf("read %s: %w", Stream, err)
		}
		var content struct {
			KEK       string `json:"kek"`
			Destroyed bool   `json:"destroyed"`
		}
		meta, err := m.Metadata()
		if err == nil {
			err = json.Unmarshal(m.Data(), &content)
		}
		switch {
		case err != nil:
			return u, fmt.Errorf("read %s: %s: %w", Stream, m.Subject(), err)
		case content.Destroyed:
			u.Destroyed++
		default:
			u.ByKEK[content.KEK]++
		}
		if meta.NumPending == 0 || ctx.Err() != nil {
			return u, ctx.Err()
		}
	}
}
