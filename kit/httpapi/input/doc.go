// Package input reads what a request carries, strictly: JSON bodies, forms and
// query strings. Nothing that a client sends is ignored, and nothing is taken for
// what it is not: an unknown field, a field that is there twice or in another case,
// a number that does not fit and text that is not UTF-8 are refused by name.
//
// Reading takes memory in proportion to what has arrived, and all bodies share a
// bound.
package input
