package eventlog

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// Place is where a message is in the log.
type Place struct {
	Stream   string
	Sequence uint64
}

// readsAtOnce is how many messages AtAll requests at a time.
const readsAtOnce = 8

// AtAll returns the messages at some places, in the same order. Errors are those of At, and
// there are no messages then.
func (l *Log) AtAll(ctx context.Context, places []Place) ([]Record, error) {
	checked := map[string]bool{}
	for _, p := range places {
		if checked[p.Stream] {
			continue
		}
		if err := l.CheckLeader(ctx, p.Stream); err != nil {
			return nil, err
		}
		checked[p.Stream] = true
	}
	records := make([]Record, len(places))
	reads, ctx := errgroup.WithContext(ctx)
	reads.SetLimit(readsAtOnce)
	for i, p := range places {
		reads.Go(func() (err error) {
			records[i], err = l.at(ctx, p.Stream, p.Sequence)
			return err
		})
	}
	if err := reads.Wait(); err != nil {
		return nil, err
	}
	return records, nil
}
