package streams

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Layout says over how many streams, the partitions, the events of a stream are spread: the counts
// there have ever been, by the stream's name. A stream that it does not name is a single one, so
// the nil Layout spreads nothing.
//
// Partition 0 is the stream itself, ORDERS with the subjects events.order.>, so a log that was not
// partitioned is partition 0 of one that is. Partition k is the stream ORDERS-k with the subjects
// events.order-k.>. An entity has all of its events on one of them, which follows from its id and
// a count. When a count grows, entities that there are stay where they are; see Homes.
type Layout map[string][]Count

// Count is a number of partitions.
type Count struct {
	Partitions int
	// From is the first sequence of the partitions that this count has added. It is above all
	// sequences that there were on the others, so that sequences of all partitions can be put in an
	// order in which events were recorded, roughly; see Number. It is 1 for the first count.
	From uint64
}

// MaxPartitions is how many partitions a stream may have.
const MaxPartitions = 16

// partitionsKey is the metadata key of a stream with its counts: "1,2@1042,3@9000", the newest last.
const partitionsKey = "partitions"

func formatCounts(counts []Count) string {
	var texts []string
	for _, c := range counts {
		text := strconv.Itoa(c.Partitions)
		if c.From > 1 {
			text += "@" + strconv.FormatUint(c.From, 10)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ",")
}

// parseCounts parses what formatCounts wrote. "" is no count.
func parseCounts(text string) (counts []Count, err error) {
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		number, from, has := strings.Cut(part, "@")
		c := Count{From: 1}
		if c.Partitions, err = strconv.Atoi(number); err == nil && has {
			c.From, err = strconv.ParseUint(from, 10, 64)
		}
		before := Count{}
		if len(counts) > 0 {
			before = counts[len(counts)-1]
		}
		if err != nil || c.Partitions <= before.Partitions || c.Partitions > MaxPartitions || c.From < before.From || c.From == 0 {
			return nil, fmt.Errorf("the counts of partitions %q must be growing numbers up to %d, such as 1,2@1042", text, MaxPartitions)
		}
		counts = append(counts, c)
	}
	return counts, nil
}

// partitionName matches the name of a partition but the first, and the second token of its subjects.
var partitionName = regexp.MustCompile(`^(.+)-([1-9][0-9]?)$`)

// BaseOf returns the stream that a stream is a partition of, by its name alone: ORDERS for ORDERS-2,
// and for ORDERS itself.
func BaseOf(stream string) string {
	base, _ := split(stream)
	return base
}

// split returns what a name is a partition of, and its number.
func split(name string) (base string, partition int) {
	m := partitionName.FindStringSubmatch(name)
	if m == nil {
		return name, 0
	}
	partition, _ = strconv.Atoi(m[2])
	return m[1], partition
}

// partition returns the name of a partition, or the second token of its subjects.
func partition(base string, k int) string {
	if k == 0 {
		return base
	}
	return base + "-" + strconv.Itoa(k)
}

// SubjectOn returns the subject on a partition that stands for a subject of the stream that it is a
// partition of: on ORDERS-2, events.order-2.ord_1.placed for events.order.ord_1.placed. Subject may
// have wildcards.
func SubjectOn(stream, subject string) string {
	_, k := split(stream)
	tokens := strings.SplitN(subject, ".", 3)
	if k == 0 || len(tokens) < 3 || tokens[0] != eventsToken {
		return subject
	}
	return tokens[0] + "." + partition(tokens[1], k) + "." + tokens[2]
}

// SubjectsOn returns SubjectOn of each subject.
func SubjectsOn(stream string, subjects []string) []string {
	var on []string
	for _, subject := range subjects {
		on = append(on, SubjectOn(stream, subject))
	}
	return on
}

// BaseSubject is the inverse of SubjectOn: events.order.ord_1.placed for events.order-2.ord_1.placed,
// and for itself.
func BaseSubject(subject string) string {
	tokens := strings.SplitN(subject, ".", 3)
	if len(tokens) < 3 || tokens[0] != eventsToken || !strings.Contains(tokens[1], "-") {
		return subject
	}
	return tokens[0] + "." + BaseOf(tokens[1]) + "." + tokens[2]
}

// eventsToken is the first token of the subjects of events.
const eventsToken = "events"

// Partitions returns the streams over which the events of a stream are spread: itself first.
func (l Layout) Partitions(stream string) []string {
	names := []string{stream}
	if counts := l[stream]; counts != nil {
		for k := 1; k < counts[len(counts)-1].Partitions; k++ {
			names = append(names, partition(stream, k))
		}
	}
	return names
}

// Homes returns the partitions of a stream in which the entity with an id may be. The first is where
// it is if it is new: there the newest count puts it. The others are where earlier counts put it, and
// where it still is if it has events there. In most cases there are none.
func (l Layout) Homes(stream, id string) []string {
	counts := l[stream]
	if counts == nil {
		return []string{stream}
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // never fails
	var homes []string
	for _, c := range slices.Backward(counts) {
		if home := partition(stream, jumpHash(h.Sum64(), c.Partitions)); !slices.Contains(homes, home) {
			homes = append(homes, home)
		}
	}
	return homes
}

// jumpHash is the jump consistent hash of Lamping and Veach: when the number of buckets grows, keys
// move only to the new ones.
func jumpHash(key uint64, buckets int) int {
	last, next := int64(-1), int64(0)
	for next < int64(buckets) {
		last = next
		key = key*2862933555777941757 + 1
		next = int64(float64(last+1) * (float64(int64(1)<<31) / float64((key>>33)+1)))
	}
	return int(last)
}

// Number returns a number for the message of a partition that no other message of the stream's
// partitions has. On one partition numbers grow with the sequence, and between partitions
// roughly with the time. A stream that never had more than one partition has its sequences as numbers,
// and so has what was recorded before a second one was added.
func (l Layout) Number(stream string, sequence uint64) uint64 {
	base, k := split(stream)
	since := l.since(base)
	if since == 0 || sequence < since {
		return sequence
	}
	return since + (sequence-since)*MaxPartitions + uint64(k)
}

// Place is the inverse of Number.
func (l Layout) Place(base string, number uint64) (stream string, sequence uint64) {
	since := l.since(base)
	if since == 0 || number < since {
		return base, number
	}
	return partition(base, int((number-since)%MaxPartitions)), since + (number-since)/MaxPartitions
}

// since returns the sequence from which a stream has had several partitions, 0 if it has one.
func (l Layout) since(base string) uint64 {
	for _, c := range l[base] {
		if c.Partitions > 1 {
			return c.From
		}
	}
	return 0
}

// subjects returns what corresponds to a permitted subject on the further partitions: the stream's name is a
// token of it, or it is of events. StreamOf tells their stream by the second token.
func (l Layout) subjects(subject string, streamOf map[string]string) (more []string) {
	tokens := strings.Split(subject, ".")
	at, base := slices.IndexFunc(tokens, func(token string) bool { return l[token] != nil }), ""
	if at >= 0 {
		base = tokens[at]
	} else if len(tokens) > 2 && tokens[0] == eventsToken {
		at, base = 1, streamOf[tokens[1]]
	}
	for k := 1; base != "" && k < len(l.Partitions(base)); k++ {
		other := slices.Clone(tokens)
		other[at] = partition(tokens[at], k)
		more = append(more, strings.Join(other, "."))
	}
	return more
}

// newest returns how many partitions a stream has.
func (l Layout) newest(stream string) int { return len(l.Partitions(stream)) }
