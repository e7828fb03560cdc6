package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

const (
	// loadBatch is how many messages Load requests at once.
	loadBatch = 256
	// loadRetry is how long Load waits for a follower that is behind.
	loadRetry = 5 * time.Millisecond
)

// Load calls fold for every message on filter with a sequence above after and at most
// through, decodable or not: each once, in order, and on the caller's goroutine. On a
// replicated stream, a follower that is behind may answer, so Load asks again until it has
// reached through, which must be a message on filter; see Last.
//
// The error is ErrOutcomeUnknown if the log did not answer or ctx has ended, and ErrGone if the
// message at through has reached its age meanwhile. Fold was then called for a part of the
// messages. The caller may go on from the last of them.
func (l *Log) Load(ctx context.Context, stream, filter string, after, through uint64, fold func(Record)) error {
	for behind := 0; after < through; {
		last, err := l.loadSome(ctx, stream, filter, after, through, fold)
		if err != nil {
			return fmt.Errorf("load from %s: %w (%w)", stream, ErrOutcomeUnknown, err)
		}
		if last == after {
			if behind++; behind%2 == 0 {
				if err := l.checkThere(ctx, stream, filter, after); err != nil {
					return fmt.Errorf("load from %s: %w", stream, err)
				}
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("load from %s: %w (%w)", stream, ErrOutcomeUnknown, ctx.Err())
			case <-time.After(loadRetry):
			}
		}
		after = last
	}
	return nil
}

// checkThere returns ErrGone if the leader has no message on filter above after. Other errors are
// those of Next and CheckLeader.
func (l *Log) checkThere(ctx context.Context, stream, filter string, after uint64) error {
	_, err := l.Next(ctx, stream, filter, after+1)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		if err = l.CheckLeader(ctx, stream); err == nil {
			err = ErrGone
		}
	}
	return err
}

// loadSome makes one request for Load. It returns the sequence that it has reached.
func (l *Log) loadSome(ctx context.Context, stream, filter string, after, through uint64, fold func(Record)) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	msgs, err := jetstreamext.GetBatch(ctx, l.js, stream, loadBatch,
		jetstreamext.GetBatchSubject(filter), jetstreamext.GetBatchSeq(after+1))
	if err != nil {
		return after, err
	}
	for raw, err := range msgs {
		switch {
		case errors.Is(err, jetstreamext.ErrNoMessages), errors.Is(err, context.DeadlineExceeded):
			return after, nil
		case err != nil:
			return after, err
		case raw.Sequence > through:
			return through, nil
		}
		fold(l.Read(stream, raw.Sequence, raw.Subject, raw.Header, raw.Data))
		after = raw.Sequence
	}
	return after, nil
}
