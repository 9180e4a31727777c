package chart

import (
	"math/bits"
	"reflect"
	"slices"
)

// fields are those of each variant that has them.
type fields map[uint]any

func (f fields) variants() (set uint) {
	for n := range f {
		set |= 1 << n
	}
	return set
}

// distinct returns the different values with the variants that have each, the first variant's first.
func (f fields) distinct() (values []any, sets []uint) {
	for n := range uint(bits.Len(f.variants())) {
		value, has := f[n]
		if !has {
			continue
		}
		i := slices.IndexFunc(values, func(v any) bool { return reflect.DeepEqual(v, value) })
		if i < 0 {
			values, sets, i = append(values, value), append(sets, 0), len(values)
		}
		sets[i] |= 1 << n
	}
	return values, sets
}

// kindOf returns "map", "list", or "" for what is neither in all variants.
func (f fields) kindOf() string {
	kind := ""
	for _, value := range f {
		now := ""
		switch value.(type) {
		case map[string]any:
			now = "map"
		case []any:
			now = "list"
		}
		if now == "" || kind != "" && now != kind {
			return ""
		}
		kind = now
	}
	return kind
}

// full returns those of maps and lists that have something.
func (f fields) full() fields {
	out := fields{}
	for n, value := range f {
		if reflect.ValueOf(value).Len() > 0 {
			out[n] = value
		}
	}
	return out
}
