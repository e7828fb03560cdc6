package eventlog

import (
	"context"
	"strings"

	"lonja/kit/streams"
)

// Home returns the partition of a stream that has the events of an entity, and the filter for them
// there. Filter is that for the entity's events on a stream without partitions:
// "events.order.ord_1.>". An entity without events gets the partition for new ones.
//
// Only where the number of partitions has grown can the log have to be asked: an entity from
// before stays where it is. The answer is right as long as all who record events know the
// same layout, and then it never changes once the entity has events. The errors are those of Last.
func (l *Log) Home(ctx context.Context, stream, filter string) (home, there string, err error) {
	if l.Layout[stream] == nil {
		return stream, filter, nil
	}
	tokens := strings.Split(filter, ".")
	homes := l.Layout.Homes(stream, tokens[min(2, len(tokens)-1)])
	for _, earlier := range homes[1:] {
		there := streams.SubjectOn(earlier, filter)
		last, err := l.Last(ctx, earlier, there)
		if err == nil && last == 0 {
			err = l.CheckLeader(ctx, earlier)
		}
		if err != nil {
			return "", "", err
		}
		if last > 0 {
			return earlier, there, nil
		}
	}
	return homes[0], streams.SubjectOn(homes[0], filter), nil
}
