package main

import (
	"encoding/json"
	"math"
	"time"

	"github.com/anishathalye/porcupine"

	"lonja/client"
	"lonja/events"
)

// kinds of what may be done to stock.
const (
	adjusted = "adjust"
	looked   = "look"
	reserved = "reserve"
)

// outcomes; empty when nobody knows.
const (
	granted = "granted"
	refused = "refused"
)

// movedStock is one thing that a clerk did to the stock, or saw of it.
type movedStock struct {
	by         *person
	kind       string
	command    string // its id; empty for a look
	delta      int
	out        string
	level      level // that the answer showed, for what was granted and looked
	call, done int64
}

// level is how much there is of a product.
type level struct{ onHand, reserved int }

func (m *movedStock) shows(a answer) {
	var v client.Stock
	if json.Unmarshal(a.body, &v) == nil {
		m.out, m.level = granted, level{int(v.OnHand), int(v.Reserved)}
	}
}

// stockModel is how stock must behave: as if all was done one after another, each
// at some moment between its call and its answer.
var stockModel = porcupine.Model{
	Init: func() any { return level{clerksStock, 0} },
	Step: func(state, input, _ any) (bool, any) {
		s, m := state.(level), input.(movedStock)
		switch m.kind {
		case looked:
			return s == m.level, s
		case adjusted:
			return s.adjust(m)
		}
		return s.reserve(m)
	},
}

func (s level) adjust(m movedStock) (bool, any) {
	next := level{s.onHand + m.delta, s.reserved}
	if next.onHand < s.reserved {
		return m.out != granted, s
	}
	return m.out == "" || m.out == granted && next == m.level, next
}

func (s level) reserve(m movedStock) (bool, any) {
	next := level{s.onHand, s.reserved + m.delta}
	if next.reserved > s.onHand {
		return m.out != granted, s
	}
	return m.out != refused, next
}

// keyedOrder is one of several requests with one key.
type keyedOrder struct {
	key, body  string
	status     int
	id         string
	replayed   bool
	call, done int64
}

// keyState is what is recorded under a key.
type keyState struct{ body, id string }

// keyModel is how a key must behave: the first request that takes effect makes
// the order, the same again repeats its answer, and another is refused.
var keyModel = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range all {
			key := op.Input.(keyedOrder).key
			byKey[key] = append(byKey[key], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return keyState{} },
	Step: func(state, input, _ any) (bool, any) {
		s, o := state.(keyState), input.(keyedOrder)
		switch {
		case s.body == "": // this one makes it
			return o.status != 422 && !o.replayed, keyState{o.body, o.id}
		case s.body != o.body:
			return o.status != 201, s
		case o.status != 201: // nobody knows, or it was given up
			return o.status != 422, s
		case s.id == "": // made by one that was never answered
			return o.replayed, keyState{s.body, o.id}
		}
		return o.replayed && s.id == o.id, s
	},
}

// checkWithin bounds the search, which can take for ever.
const checkWithin = 20 * time.Second

// check looks for an order of all that the clerks did which explains every
// answer that they got.
func (k *clerks) check(t *trial) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var stock, keys []porcupine.Operation
	for _, m := range k.stock {
		done := m.done
		if m.out == "" {
			if done = math.MaxInt64; !m.resolve(t.log) {
				continue
			}
		}
		stock = append(stock, porcupine.Operation{Input: m, Call: m.call, Return: done})
	}
	for _, o := range k.keys {
		if o.status != 201 && o.status != 422 {
			o.done = math.MaxInt64 // it may take effect at any time
		}
		keys = append(keys, porcupine.Operation{Input: o, Call: o.call, Return: o.done})
	}
	for _, h := range []struct {
		name  string
		model porcupine.Model
		ops   []porcupine.Operation
	}{{"stock", stockModel, stock}, {"keys", keyModel, keys}} {
		switch porcupine.CheckOperationsTimeout(h.model, h.ops, checkWithin) {
		case porcupine.Ok:
			t.measured("%s linearizable in %d operations", h.name, len(h.ops))
		case porcupine.Illegal:
			t.wrong("the history of the %s is not linearizable (%d operations)", h.name, len(h.ops))
		default:
			t.measured("%s: %d operations are too many to decide", h.name, len(h.ops))
		}
	}
}

// resolve finds out from the log what came of a command that was not answered; it
// is false when nothing did. When it happened is as unknown as before.
func (m *movedStock) resolve(log *facts) bool {
	for _, f := range log.caused[m.command] {
		if e, ok := f.event.(events.StockAdjusted); ok {
			m.out, m.level = granted, level{int(e.OnHand), int(e.Reserved)}
		}
		order := f.event.EntityID()
		if len(log.of(order, "stock.reserved")) > 0 {
			m.out = granted
		} else if len(log.of(order, "stock.refused")) > 0 {
			m.out = refused
		}
	}
	return m.out != ""
}
