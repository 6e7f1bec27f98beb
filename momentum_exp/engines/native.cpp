// One recurrent layer in one direction over all time steps: forward and backward, for float and double.
//
// The mathematics. At step t, with the drive u_t and the weights U = w_hh and b = b_hh:
//
//   lstm              a = u + U h' + b ; i, f, o = sigmoid(a_i, a_f, a_o) ; g = tanh(a_g)
//                     c = f c' + i g ; h = o tanh(c)
//   srlstm_released   y = u + U h' + b ; a = y + mu_t (y - y') ; then as lstm          (the caller puts -s into u)
//   elementwise       a = u + U h' + b ; h = act(a), act one of tanh, relu, sigmoid, modReLU
//
// where ' marks the step before. The drive comes in two kinds:
//
//   linear            u_t = W x_t + p_t v_0. Identity, momentum and nesterov are linear in x: the caller filters x
//                     instead of W x, and p_t is what is left of the carried state v_0 at step t.
//   normalised        g = W x_t ; v = mu v' + s g ; m = beta m' + (1 - beta) g^2 ; u = v r(m)
//                     with r = 1 / sqrt(m + 1e-16) (eps released) or 1 / (sqrt(m) + 1e-8) (eps paper)
//
// Backward, from t = T to 1, with d. for dL/d.:
//
//   dh = dy_t + da_{t+1} U
//   lstm              dc = dc+ + dh o (1 - tanh(c)^2) ; da_i = dc g i (1-i) ; da_f = dc c' f (1-f)
//                     da_g = dc i (1-g^2) ; da_o = dh tanh(c) o (1-o) ; dc+ = dc f
//   srlstm_released   as lstm, then dy = (1 + mu_t) da - mu_{t+1} da_{t+1} takes da's place
//   elementwise       da = dh act'(a), which follows from h alone
//   dU += da^T h' ; db += da ; linear: dW += da^T x, dx = da W, dv_0 += p_t da
//   normalised        dv = dv+ + da r ; dm = dm+ + da v r'(m) ; dg = s dv + 2 (1 - beta) g dm
//                     dv+ = mu dv ; dm+ = beta dm ; dW += dg^T x ; dx = dg W
//
// How it is made fast:
// - One product a step, of the row [h', 1, x] with the packed matrix [U, b, W]^T. It is cut into panels of four
//   vectors of columns, for an LSTM the four gates of the same units, and into blocks of ROWS rows: such a tile is
//   accumulated in registers and then activated while it is in the nearest cache.
// - Threads share the batch, not the step: each runs all steps over its own rows, and none waits for another.
// - Kept for backward: the gates after their activation and c, in the order of the tiles; an elementwise cell keeps
//   nothing but its output.
// - Backward goes in chunks of steps. A chunk's da stay in cache, and its share of dU, db, dW is one product over all
//   its rows. Normalised drives are not kept but computed again, chunk by chunk, from checkpoints of v and m.
//
// Compiled once for each instruction set (see compiled.py); vectors are GCC's vector extension, no intrinsics.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <utility>
#include <vector>

using Index = std::ptrdiff_t;

// ROWS x 4 accumulators, 4 vectors of the panel and one broadcast number fill the registers.
#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64, ROWS = 6;
#elif defined(__AVX2__)
constexpr int VECTOR_BYTES = 32, ROWS = 3;
#elif defined(__aarch64__)
constexpr int VECTOR_BYTES = 16, ROWS = 6;
#else
constexpr int VECTOR_BYTES = 16, ROWS = 2;
#endif
constexpr Index CHUNK_ROWS = 512;  // steps x rows of a chunk: enough for one product, few enough for the cache

enum Recurrence : int64_t { LSTM, RELEASED_SR, TANH, RELU, SIGMOID, MODRELU };

// What the caller passes; compiled.py has the same list. Arrays are contiguous, of the layer's type, and null where
// there is nothing: an absent gradient is zero. Gradients of the weights are always computed, others where wanted.
struct Call {
  int64_t steps, batch, inputs, units, threads;      // T, B, D, H
  int64_t recurrence, normalised, eps_paper;
  double mu, s, beta, low, high;
  const int64_t* alive_T;                            // rows that step t has; decreasing
  const void *x_TBD, *w_ih, *w_hh, *b_G, *b_modrelu;
  const void *h0, *c0, *v0, *m0, *y0;
  const void *decay_TB, *mu_TB;                      // p_t of a carried v_0; mu_t of srlstm_released
  void *y_TBH, *hT, *cT, *vT, *mT, *yT;
  void *gates, *cells, *checkpoints;                 // kept for backward; gates null: nothing is kept
  const void *dy_TBH, *dhT, *dcT, *dvT, *dmT, *dyT;
  void *dx, *dw_ih, *dw_hh, *db_G, *db_modrelu, *dh0, *dc0, *dv0, *dm0, *dy0;
  void *norms_h_TB, *norms_c_TB;                     // sums over units of dh^2 and dc^2
  int64_t* saturated;                                // of i, f, o: how many values are < low, and how many > high
};

// ------------------------------------------------------------------------------------------------ vectors

template <class T> struct Number;
template <> struct Number<float> {
  using Bits = int32_t;
  static constexpr int mantissa = 23, bias = 127, terms = 7;
  static constexpr float log2e = 1.44269504088896341f, ln2_high = 0.693359375f, ln2_low = -2.12194440054690583e-4f;
  static constexpr float lowest = -87.3365447f;  // log of the smallest normal number
};
template <> struct Number<double> {
  using Bits = int64_t;
  static constexpr int mantissa = 52, bias = 1023, terms = 13;
  static constexpr double log2e = 1.44269504088896341, ln2_high = 6.93147180369123816490e-01;
  static constexpr double ln2_low = 1.90821492927058770002e-10, lowest = -708.396418532264106;
};

template <class T> struct VectorOf {
  typedef T Type __attribute__((vector_size(VECTOR_BYTES)));
  typedef T Loose __attribute__((vector_size(VECTOR_BYTES), aligned(alignof(T)), may_alias));
  typedef typename Number<T>::Bits Bits __attribute__((vector_size(VECTOR_BYTES)));
};
template <class T> using Vec = typename VectorOf<T>::Type;
template <class T> constexpr Index LANES = VECTOR_BYTES / sizeof(T);
template <class T> constexpr Index WIDTH = 4 * LANES<T>;  // columns of a full panel

template <class T> inline Vec<T> load(const T* p) { return *(const typename VectorOf<T>::Loose*)p; }
template <class T> inline void store(T* p, Vec<T> x) { *(typename VectorOf<T>::Loose*)p = x; }

// The first n lanes; rows of the caller's arrays end where H ends.
template <class T> inline Vec<T> load(const T* p, Index n) {
  if (n >= LANES<T>) return load(p);
  Vec<T> x = {};
  std::memcpy(&x, p, n * sizeof(T));
  return x;
}
template <class T> inline void store(T* p, Vec<T> x, Index n) {
  if (n >= LANES<T>) store(p, x);
  else std::memcpy(p, &x, n * sizeof(T));
}

// x with zeros from lane n on: in the padding, what was infinite times a weight of 0 is NaN.
template <class T> inline Vec<T> head(Vec<T> x, Index n) {
  if (n >= LANES<T>) return x;
  Vec<T> y = {};
  std::memcpy(&y, &x, n * sizeof(T));
  return y;
}

// Asks for memory that will be used soon.
template <bool WRITE, class T> inline void fetch(const T* p, Index n) {
  for (Index i = 0; i < n; i += 64 / sizeof(T)) __builtin_prefetch(p + i, WRITE);
}

// By halves: one lane after the other would be as many additions that wait for each other.
template <class T> inline T sum(Vec<T> x) {
  T half[LANES<T>];
  store(half, x);
#pragma GCC unroll 4
  for (Index n = LANES<T> / 2; n; n /= 2)
#pragma GCC unroll 8
    for (Index i = 0; i < n; i++) half[i] += half[i + n];
  return half[0];
}

template <class T> inline Vec<T> root(Vec<T> x) {
  Vec<T> y;
  for (Index i = 0; i < LANES<T>; i++) y[i] = sizeof(T) == 4 ? __builtin_sqrtf(x[i]) : __builtin_sqrt(x[i]);
  return y;
}

// For x <= 0: exp(x) = scale (1 + q), x = n log 2 + r, scale = 2^n, q = exp(r) - 1 by its Taylor series. Below
// `lowest`, scale stays at the smallest normal number. Measured on dense grids: sigmoid and tanh are within 2.5 ulp.
template <class T> inline void exponential(Vec<T> x, Vec<T>& scale, Vec<T>& q) {
  using N = Number<T>;
  constexpr T magic = 3 * (T)((typename N::Bits)1 << (N::mantissa - 1));  // adding it rounds to an integer
  const Vec<T> zero = {};
  x = x < N::lowest ? zero + N::lowest : x;
  Vec<T> shifted = x * N::log2e + magic, n = shifted - magic;
  Vec<T> r = (x - n * N::ln2_high) - n * N::ln2_low;
  auto bits = (typename VectorOf<T>::Bits)shifted;
  scale = (Vec<T>)((bits + N::bias) << N::mantissa);
  T inverse[N::terms + 1], factorial = 1;
  for (int k = 1; k <= N::terms; k++) inverse[k] = 1 / (factorial *= k);
  Vec<T> rest = zero + inverse[N::terms];
#pragma GCC unroll 16
  for (int k = N::terms - 1; k >= 2; k--) rest = rest * r + inverse[k];
  q = rest * (r * r) + r;
}

// Values below the smallest normal number are 0.
template <class T> inline Vec<T> sigmoid(Vec<T> x) {
  Vec<T> scale, q, zero = {}, below = x < zero ? x : -x;
  exponential<T>(below, scale, q);
  Vec<T> e = scale * q + scale;
  e = below < Number<T>::lowest ? zero : e;
  return (x < zero ? e : zero + 1) / (1 + e);
}

// By exp(-2|x|) - 1, which keeps its relative precision near 0.
template <class T> inline Vec<T> tanh(Vec<T> x) {
  Vec<T> scale, q, zero = {}, below = x < zero ? x + x : -(x + x);
  exponential<T>(below, scale, q);
  Vec<T> less = scale * q + (scale - 1), y = less / (less + 2);
  return x < zero ? y : -y;
}

// ------------------------------------------------------------------------------------------------ products

// A run of `length` products a(r, k) b(k, .): numbers a + r row + k step, and one row of a panel for each k.
template <class T> struct Segment {
  const T* a;
  Index row, step;
  const T* b;
  Index length;
};

// c (R, V vectors) = or += the sum over all segments. Everything that is a matrix product comes here.
template <class T, int R, int V> void tile(const Segment<T>* segment, Index segments, T* c, bool add) {
  Vec<T> sums[R][V] = {};
  for (; segments--; segment++) {
    const T *a = segment->a, *b = segment->b;
    const Index row = segment->row, step = segment->step;
    for (Index k = segment->length; k--; a += step, b += V * LANES<T>) {
      Vec<T> line[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) line[v] = load(b + v * LANES<T>);
#pragma GCC unroll 8
      for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) sums[r][v] += a[r * row] * line[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
      T* to = c + (r * V + v) * LANES<T>;
      store<T>(to, add ? load(to) + sums[r][v] : sums[r][v]);
    }
}

template <class T> using Tile = void (*)(const Segment<T>*, Index, T*, bool);

template <class T, int... N> constexpr Tile<T> tile_of(int rows, int vectors, std::integer_sequence<int, N...>) {
  constexpr Tile<T> tiles[] = {tile<T, N / 4 + 1, N % 4 + 1>...};
  return tiles[(rows - 1) * 4 + vectors - 1];
}

template <class T> inline void multiply(Index rows, Index width, const Segment<T>* segment, Index n, T* c, bool add) {
  tile_of<T>(rows, width / LANES<T>, std::make_integer_sequence<int, 4 * ROWS>())(segment, n, c, add);
}

// f(first, rows) for blocks of at most ROWS rows, as equal as can be.
template <class F> inline void in_blocks(Index rows, F f) {
  const Index blocks = (rows + ROWS - 1) / ROWS;
  for (Index block = 0, first = 0; block < blocks; block++) {
    const Index size = (rows - first) / (blocks - block);
    f(first, size);
    first += size;
  }
}

// ------------------------------------------------------------------------------------------------ layout

inline Index round_up(Index n, Index unit) { return (n + unit - 1) / unit * unit; }

template <class T> struct Free { void operator()(T* p) const { ::operator delete[](p, std::align_val_t(64)); } };

// Memory that starts at a cache line; filled with zeros if asked.
template <class T> struct Buffer {
  std::unique_ptr<T[], Free<T>> memory;
  Buffer(Index size = 0, bool zero = false) {
    if (!size) return;
    memory.reset(new (std::align_val_t(64)) T[size]);
    if (zero) std::fill_n(memory.get(), size, T(0));
  }
  operator T*() const { return memory.get(); }
};

// Columns cut into panels; an array [panel][row][column of the panel] has panel p at p WIDTH rows.
template <class T> struct Panels {
  Index columns;
  explicit Panels(Index n) : columns(round_up(n, LANES<T>)) {}
  Index count() const { return (columns + WIDTH<T> - 1) / WIDTH<T>; }
  Index width(Index p) const { return std::min(WIDTH<T>, columns - p * WIDTH<T>); }
};

// What all threads share: sizes, and where a column of the pre-activation stands in torch's order.
template <class T, bool GATED> struct Layout {
  const Call& call;
  const Index T_, B, D, H, chunk, chunks;
  const Panels<T> units, inputs, pre;

  explicit Layout(const Call& c)
      : call(c), T_(c.steps), B(c.batch), D(c.inputs), H(c.units),
        chunk(std::clamp<Index>(CHUNK_ROWS * c.threads / B, 1, T_)), chunks((T_ + chunk - 1) / chunk),
        units(H), inputs(D), pre((GATED ? 4 : 1) * units.columns) {}

  // The row of the weights that is column c of panel p; -1: padding.
  Index source(Index p, Index c) const {
    if (!GATED) return p * WIDTH<T> + c < H ? p * WIDTH<T> + c : -1;
    const Index unit = p * LANES<T> + c % LANES<T>;
    return unit < H ? c / LANES<T> * H + unit : -1;
  }
  Index G() const { return (GATED ? 4 : 1) * H; }
  Index lines() const { return H + 1 + D; }  // rows of the packed weights: h, 1, x
};

// The weights in the order in which the tiles read them.
template <class T, bool GATED> struct Packed {
  Buffer<T> forward, back_h, back_x;  // [pre panel][h, 1, x], [unit panel][pre column], [input panel][pre column]

  Packed(const Layout<T, GATED>& at, bool backward) {
    const T *u = (const T*)at.call.w_hh, *w = (const T*)at.call.w_ih, *b = (const T*)at.call.b_G;
    const Index lines = at.lines();
    if (!backward || at.call.normalised) {
      forward = Buffer<T>(lines * at.pre.columns, true);
      for (Index p = 0; p < at.pre.count(); p++)
        for (Index c = 0, width = at.pre.width(p); c < width; c++) {
          const Index source = at.source(p, c);
          T* to = forward + p * WIDTH<T> * lines + c;
          if (source < 0) continue;
          for (Index k = 0; k < at.H; k++) to[k * width] = u[source * at.H + k];
          to[at.H * width] = b ? b[source] : 0;
          for (Index k = 0; k < at.D; k++) to[(at.H + 1 + k) * width] = w[source * at.D + k];
        }
    }
    if (backward) back_h = transposed(at, at.units, u, at.H);
    if (backward && at.call.dx) back_x = transposed(at, at.inputs, w, at.D);
  }

  static Buffer<T> transposed(const Layout<T, GATED>& at, const Panels<T>& panels, const T* from, Index n) {
    Buffer<T> packed(panels.columns * at.pre.columns, true);
    for (Index q = 0; q < panels.count(); q++) {
      const Index width = panels.width(q), used = std::min(width, n - q * WIDTH<T>);
      T* to = packed + q * WIDTH<T> * at.pre.columns;
      for (Index p = 0; p < at.pre.count(); p++)
        for (Index c = 0; c < at.pre.width(p); c++, to += width) {
          const Index source = at.source(p, c);
          if (source >= 0) std::copy_n(from + source * n + q * WIDTH<T>, used, to);
        }
    }
    return packed;
  }
};

// ------------------------------------------------------------------------------------------------ one thread's rows

template <class T, Recurrence KIND> struct Rows {
  static constexpr bool GATED = KIND == LSTM || KIND == RELEASED_SR;
  static constexpr Index L = LANES<T>, W = WIDTH<T>;
  using V = Vec<T>;
  using Segments = Segment<T>;

  const Call& call;
  const Layout<T, GATED>& at;
  const Packed<T, GATED>& weights;
  const Index first, rows;  // of the batch
  const T one = 1, low = call.low, high = call.high;
  Buffer<T> v, m, dv, dm;   // state of the dynamics, [pre panel][row], and its gradient
  Buffer<T> y;              // state of srlstm_released; backward: its gradient
  Buffer<T> modrelu;        // b of modReLU

  Rows(const Layout<T, GATED>& layout, const Packed<T, GATED>& packed, Index begin, Index end)
      : call(layout.call), at(layout), weights(packed), first(begin), rows(end - begin) {
    if (KIND != MODRELU) return;
    modrelu = Buffer<T>(at.units.columns, true);
    std::copy_n((const T*)call.b_modrelu, at.H, (T*)modrelu);
  }

  // ---- places

  Index alive(Index t) const { return t < at.T_ ? std::clamp<Index>(call.alive_T[t] - first, 0, rows) : 0; }
  // Row `row` of this thread at step t in an array of the caller, (T, B, n) or (B, n).
  template <class P> P* in(P* base, Index t, Index row, Index n) const { return base + ((t * at.B) + first + row) * n; }
  const T* x(Index t, Index row) const { return in((const T*)call.x_TBD, t, row, at.D); }
  T* h(Index t, Index row) const { return in(t < 0 ? (T*)call.h0 : (T*)call.y_TBH, std::max<Index>(t, 0), row, at.H); }
  // A tile of an array [pre panel][row]; `step` of them make [step][pre panel][row].
  T* tile_in(T* base, Index p, Index row) const { return base + p * W * rows + row * at.pre.width(p); }
  Index tiles() const { return rows * at.pre.columns; }
  T* gates(Index t, Index p, Index row) const {
    return tile_in((T*)call.gates + at.T_ * first * at.pre.columns + t * tiles(), p, row);
  }
  T* cell(T* base, Index t, Index p, Index row) const {
    return base + t * rows * at.units.columns + (p * rows + row) * L;
  }
  T* kept_cells() const { return (T*)call.cells + (at.T_ + 1) * first * at.units.columns; }
  T* checkpoint(Index chunk) const {
    const Index states = call.mu ? 2 : 1;  // m, then v
    return (T*)call.checkpoints + states * (at.chunks * first * at.pre.columns + chunk * tiles());
  }

  // Between the caller's (B, G) and [pre panel][row]. Nothing given is zero.
  Buffer<T> gather(const void* from) const {
    Buffer<T> to(tiles(), true);
    if (from) each_number([&](Index row, Index source, Index p, Index c) {
      tile_in(to, p, row)[c] = in((const T*)from, 0, row, at.G())[source];
    });
    return to;
  }
  void scatter(T* from, void* to) const {
    if (to) each_number([&](Index row, Index source, Index p, Index c) {
      in((T*)to, 0, row, at.G())[source] = tile_in(from, p, row)[c];
    });
  }
  template <class F> void each_number(F f) const {
    for (Index p = 0; p < at.pre.count(); p++)
      for (Index c = 0; c < at.pre.width(p); c++)
        if (const Index source = at.source(p, c); source >= 0)
          for (Index row = 0; row < rows; row++) f(row, source, p, c);
  }
  // The same between (B, H) and the cells' [unit vector][row][lane].
  void gather_cells(const void* from, T* to) const {
    for (Index p = 0; p * L < at.H; p++)
      for (Index row = 0; row < rows; row++)
        store<T>(cell(to, 0, p, row), from ? load(in((const T*)from, 0, row, at.H) + p * L, at.H - p * L) : V{});
  }
  void scatter_cells(T* base, Index row, Index t, void* to) const {
    for (Index p = 0; to && p * L < at.H; p++)
      store<T>(in((T*)to, 0, row, at.H) + p * L, load(cell(base, t, p, row)), at.H - p * L);
  }

  // ---- the normalised drive

  // g of one step for a block of rows.
  void undriven(Index t, Index p, Index row, Index size, T* g) const {
    const Index width = at.pre.width(p);
    const T* panel = weights.forward + (p * at.lines() * W) + (at.H + 1) * width;
    const Segments segment = {x(t, row), at.D, 1, panel, at.D};
    multiply<T>(size, width, &segment, 1, g, false);
  }

  // f(p, row, size(t)) for blocks of rows, each of which then goes through a chunk of steps by itself, in cache.
  template <class F> void in_tiles(Index t0, F f) {
    for (Index p = 0; p < at.pre.count(); p++)
      in_blocks(alive(t0), [&](Index row, Index size) {
        f(p, row, [=](Index t) { return std::clamp<Index>(alive(t) - row, 0, size); });
      });
  }

  // u of `steps` steps from t0 on; v and m go on to the last of them.
  void drive(Index t0, Index steps, T* u) {
    const T mu = call.mu, s = call.s, beta = call.beta;
    in_tiles(t0, [&](Index p, Index row, auto size) {
      T *m_at = tile_in(m, p, row), *v_at = mu ? tile_in(v, p, row) : nullptr;
      for (Index t = t0; t < t0 + steps && size(t); t++) {
        T* u_at = tile_in(u + (t - t0) * tiles(), p, row);
        undriven(t, p, row, size(t), u_at);
        for (Index i = 0, n = size(t) * at.pre.width(p); i < n; i += L) {
          V g = load(u_at + i), v_i = s * g, m_i = beta * load(m_at + i) + (1 - beta) * g * g;
          if (mu) store<T>(v_at + i, v_i += mu * load(v_at + i));
          store<T>(m_at + i, m_i);
          store<T>(u_at + i, v_i * inverse_root(m_i));
        }
      }
    });
  }

  // da becomes dg for `steps` steps from t0 on, and dv+, dm+ go on to the step before. v and m, which hold what they
  // were before t0, are computed again: `work` has room for g, m and v of all steps of a block.
  void drive_back(Index t0, Index steps, T* da, T* work) {
    const T mu = call.mu, s = call.s, beta = call.beta;
    constexpr Index room = ROWS * W;
    in_tiles(t0, [&](Index p, Index row, auto size) {
      const Index width = at.pre.width(p);
      const T *m_from = tile_in(m, p, row), *v_from = mu ? tile_in(v, p, row) : nullptr;
      Index end = t0;
      for (; end < t0 + steps && size(end); end++) {
        T *g_at = work + (end - t0) * 3 * room, *m_at = g_at + room, *v_at = m_at + room;
        undriven(end, p, row, size(end), g_at);
        for (Index i = 0, n = size(end) * width; i < n; i += L) {
          V g = load(g_at + i);
          store<T>(m_at + i, beta * load(m_from + i) + (1 - beta) * g * g);
          if (mu) store<T>(v_at + i, s * g + mu * load(v_from + i));
        }
        m_from = m_at, v_from = v_at;
      }
      T *dm_at = tile_in(dm, p, row), *dv_at = mu ? tile_in(dv, p, row) : nullptr;
      for (Index t = end - 1; t >= t0; t--) {
        const T *g_at = work + (t - t0) * 3 * room, *m_at = g_at + room, *v_at = m_at + room;
        T* da_at = tile_in(da + (t - t0) * tiles(), p, row);
        for (Index i = 0, n = size(t) * width; i < n; i += L) {
          V g = load(g_at + i), m_i = load(m_at + i), v_i = mu ? load(v_at + i) : s * g;
          V du = load(da_at + i), r = inverse_root(m_i), dv_i = du * r;
          V dm_i = load(dm_at + i) + du * v_i * slope(m_i, r);
          if (mu) {
            dv_i += load(dv_at + i);
            store<T>(dv_at + i, mu * dv_i);
          }
          store<T>(dm_at + i, beta * dm_i);
          store<T>(da_at + i, s * dv_i + 2 * (1 - beta) * g * dm_i);
        }
      }
    });
  }

  static constexpr T TINY = std::numeric_limits<T>::min();
  V inverse_root(V m_i) const {
    return call.eps_paper ? 1 / (root<T>(m_i < TINY ? TINY + V{} : m_i) + T(1e-8)) : 1 / root<T>(m_i + T(1e-16));
  }
  // r'(m), given r(m); with eps paper it is 0 where m is held at TINY.
  V slope(V m_i, V r) const {
    if (!call.eps_paper) return T(-0.5) * r * r * r;
    return m_i < TINY ? V{} : T(-0.5) * r * r / root<T>(m_i);
  }

  // ---- forward

  void forward() {
    const bool keeps = call.gates || !GATED;
    const Index lines = at.lines();
    Buffer<T> u, cells;
    if (call.normalised) {
      u = Buffer<T>(at.chunk * tiles());
      m = gather(call.m0);
      if (call.mu) v = gather(call.v0);
    } else if (call.decay_TB) {
      v = gather(call.v0);
    }
    if (KIND == RELEASED_SR) y = gather(call.y0);
    T* c = keeps ? kept_cells() : nullptr;
    if (GATED && !keeps) c = cells = Buffer<T>(rows * at.units.columns);
    if (GATED) gather_cells(call.c0, c);

    alignas(64) T scratch[ROWS * W];
    for (Index t = 0; t < at.T_; t++) {
      if (call.normalised && t % at.chunk == 0) {
        if (call.checkpoints) {
          std::copy_n((T*)m, tiles(), checkpoint(t / at.chunk));
          if (call.mu) std::copy_n((T*)v, tiles(), checkpoint(t / at.chunk) + tiles());
        }
        drive(t, std::min(at.chunk, at.T_ - t), u);
      }
      T *c_from = c, *c_to = c;
      if (GATED && keeps) c_from = cell(c, t, 0, 0), c_to = cell(c, t + 1, 0, 0);
      for (Index p = 0; p < at.pre.count(); p++) {
        const Index width = at.pre.width(p);
        const T* panel = weights.forward + p * W * lines;
        in_blocks(alive(t), [&](Index row, Index size) {
          const Segments segments[] = {{h(t - 1, row), at.H, 1, panel, at.H},
                                       {&one, 0, 0, panel + at.H * width, 1},
                                       {x(t, row), at.D, 1, panel + (at.H + 1) * width, at.D}};
          T* pre = call.normalised ? tile_in(u + t % at.chunk * tiles(), p, row) : scratch;
          bool carried = !call.normalised && call.decay_TB && carry(t, p, row, size, pre);
          multiply<T>(size, width, segments, call.normalised ? 2 : 3, pre, call.normalised || carried);
          if constexpr (GATED) {
            if (KIND == RELEASED_SR) extrapolate(t, p, row, size, pre);
            activate_gates(t, p, row, size, pre, keeps ? gates(t, p, row) : scratch, c_from, c_to);
          } else {
            activate(t, p, row, size, pre);
          }
        });
      }
    }

    for (Index row = 0, t = at.T_; row < rows; row++) {
      while (alive(t - 1) <= row) t--;
      std::copy_n(h(t - 1, row), at.H, in((T*)call.hT, 0, row, at.H));
      if (GATED) scatter_cells(c, row, keeps ? t : 0, call.cT);
    }
    if (call.normalised) scatter(m, call.mT);
    if (call.normalised && call.mu) scatter(v, call.vT);
    if (KIND == RELEASED_SR) scatter(y, call.yT);
  }

  // pre = p_t v_0; false, and nothing done, where no p_t of these rows is left.
  bool carry(Index t, Index p, Index row, Index size, T* pre) const {
    const T* decay = in((const T*)call.decay_TB, t, row, 1);
    if (std::all_of(decay, decay + size, [](T left) { return left == 0; })) return false;
    const Index width = at.pre.width(p);
    for (Index r = 0; r < size; r++)
      for (Index i = r * width; i < (r + 1) * width; i += L) store<T>(pre + i, decay[r] * load(tile_in(v, p, row) + i));
    return true;
  }

  // a = y + mu (y - y') in y's place.
  void extrapolate(Index t, Index p, Index row, Index size, T* pre) {
    const T* mu = in((const T*)call.mu_TB, t, row, 1);
    T* before = tile_in(y, p, row);
    for (Index i = 0; i < size * W; i += L) {
      V now = load(pre + i);
      store<T>(pre + i, now + mu[i / W] * (now - load(before + i)));
      store<T>(before + i, now);
    }
  }

  void activate_gates(Index t, Index p, Index row, Index size, const T* pre, T* kept, T* c_from, T* c_to) const {
    T *from = cell(c_from, 0, p, row), *to = cell(c_to, 0, p, row), *h_to = h(t, row) + p * L;
    for (Index r = 0; r < size; r++, pre += W, kept += W, from += L, to += L, h_to += at.H) {
      V i = sigmoid<T>(load(pre)), f = sigmoid<T>(load(pre + L));
      V g = tanh<T>(load(pre + 2 * L)), o = sigmoid<T>(load(pre + 3 * L));
      V c = f * load(from) + i * g;
      store<T>(kept, i), store<T>(kept + L, f), store<T>(kept + 2 * L, g), store<T>(kept + 3 * L, o);
      store<T>(to, c);
      store<T>(h_to, o * tanh<T>(c), at.H - p * L);
    }
  }

  void activate(Index t, Index p, Index row, Index size, const T* pre) const {
    const V zero = {};
    for (Index r = 0; r < size; r++)
      for (Index j = p * W; j < p * W + at.pre.width(p); j += L, pre += L) {
        V a = load(pre);
        if constexpr (KIND == TANH) a = tanh<T>(a);
        if constexpr (KIND == SIGMOID) a = sigmoid<T>(a);
        if constexpr (KIND == RELU) a = a < zero ? zero : a;
        if constexpr (KIND == MODRELU) {
          V size_a = (a < zero ? -a : a) + load(modrelu + j);
          V positive = size_a < zero ? zero : size_a;
          a = a < zero ? -positive : (a == zero ? zero : positive);
        }
        store<T>(h(t, row + r) + j, a, at.H - j);
      }
  }

  // ---- backward

  Buffer<T> gradient, dmodrelu;  // this thread's share: of the packed weights, and of modReLU's b
  Buffer<T> dh, dc, norm_h, norm_c;
  using Counts = typename VectorOf<T>::Bits[6];
  int64_t saturated[6] = {};

  void backward() {
    Buffer<T> work;
    Buffer<T> da((at.chunk + 1) * tiles());  // the last slot: the step after the chunk
    gradient = Buffer<T>(at.lines() * at.pre.columns, true);
    dh = Buffer<T>(rows * at.units.columns);
    if (GATED) {
      dc = Buffer<T>(rows * at.units.columns);
      gather_cells(call.dcT, dc);
    }
    if (call.normalised) {
      work = Buffer<T>(3 * at.chunk * ROWS * W);
      m = Buffer<T>(tiles()), dm = gather(call.dmT);
      if (call.mu) v = Buffer<T>(tiles()), dv = gather(call.dvT);
    } else if (call.decay_TB) {
      dv = gather(nullptr);
    }
    if (KIND == RELEASED_SR) y = gather(call.dyT);
    if (KIND == MODRELU) dmodrelu = Buffer<T>(at.units.columns, true);
    if (call.norms_h_TB) norm_h = Buffer<T>(rows * L, true);
    if (call.norms_c_TB) norm_c = Buffer<T>(rows * L, true);

    for (Index chunk = at.chunks - 1; chunk >= 0; chunk--) {
      const Index t0 = chunk * at.chunk, steps = std::min(at.chunk, at.T_ - t0);
      for (Index t = t0 + steps - 1; t >= t0; t--) {
        const bool last = t == t0 + steps - 1;
        step_back(t, da + (last ? at.chunk : t + 1 - t0) * tiles(), da + (t - t0) * tiles());
      }
      std::copy_n((T*)da, tiles(), da + at.chunk * tiles());
      product(t0, steps, da, 0, at.H, at.H, [&](Index t) { return h(t - 1, 0); });
      product(t0, steps, da, at.H, 1, 0, [&](Index) { return &one; });
      if (call.normalised) {
        std::copy_n(checkpoint(chunk), tiles(), (T*)m);
        if (call.mu) std::copy_n(checkpoint(chunk) + tiles(), tiles(), (T*)v);
        drive_back(t0, steps, da, work);
      } else if (call.decay_TB) {
        carry_back(t0, steps, da, dv);
      }
      product(t0, steps, da, at.H + 1, at.D, at.D, [&](Index t) { return x(t, 0); });
      if (call.dx) input_gradient(t0, steps, da);
    }

    if (call.dh0) {
      alignas(64) T dh0[ROWS * W];
      for (Index q = 0; q < at.units.count(); q++)
        in_blocks(rows, [&](Index row, Index size) {
          back_product(weights.back_h, at.units, q, da + at.chunk * tiles(), row, size, dh0);
          put(dh0, at.units, q, size, in((T*)call.dh0, 0, row, at.H), at.H);
        });
    }
    for (Index row = 0; GATED && row < rows; row++) scatter_cells(dc, row, 0, call.dc0);
    if (call.normalised) scatter(dm, call.dm0);
    if (dv) scatter(dv, call.dv0);
    if (KIND == RELEASED_SR) scatter(y, call.dy0);
  }

  // c (size, width) = da W, for the q-th panel of W's columns.
  void back_product(const T* packed, const Panels<T>& panels, Index q, T* da, Index row, Index size, T* c) const {
    const Index width = panels.width(q), n = at.pre.count();
    Segments segments[64];
    for (Index p = 0; p < n;) {
      Index filled = 0;
      const Index begin = p;
      for (; p < n && filled < 64; p++)
        segments[filled++] = {tile_in(da, p, row), at.pre.width(p), 1,
                              packed + (q * at.pre.columns + p * width) * W, at.pre.width(p)};
      multiply<T>(size, width, segments, filled, c, begin > 0);
    }
  }

  // The used columns of a tile into rows of length n.
  void put(const T* from, const Panels<T>& panels, Index q, Index size, T* to, Index n) const {
    const Index width = panels.width(q), used = std::min(width, n - q * W);
    for (Index r = 0; r < size; r++) std::copy_n(from + r * width, used, to + r * n + q * W);
  }

  // One step: dh from the step after, for all units; then da, in the order in which the gates were kept.
  void step_back(Index t, T* after, T* da) {
    const Index going_on = alive(t + 1), now = alive(t);
    for (Index q = 0; q < at.units.count(); q++) {
      const Index width = at.units.width(q);
      T* to = dh + q * W * rows;
      in_blocks(going_on, [&](Index row, Index size) {
        back_product(weights.back_h, at.units, q, after, row, size, to + row * width);
      });
      for (Index row = going_on; row < now; row++)  // their last step is t
        for (Index j = 0; j < width; j += L) {
          const Index used = std::max<Index>(at.H - q * W - j, 0);
          store<T>(to + row * width + j, call.dhT ? load(in((const T*)call.dhT, 0, row, at.H) + q * W + j, used) : V{});
        }
    }
    constexpr Index ahead = 8;  // rows
    Counts counts = {};
    for (Index unit = 0; unit < at.H; unit += L) {
      const Index q = unit / W, width = at.units.width(q), used = at.H - unit;
      const T* dh_row = dh + q * W * rows + unit % W;
      const T* dy = call.dy_TBH ? in((const T*)call.dy_TBH, t, 0, at.H) + unit : nullptr;
      for (Index row = 0; row < now; row++) {
        V dh_t = load(dh_row + row * width);
        if (dy) {
          fetch<false>(dy + (row + ahead) * at.H, 1);
          dh_t += load(dy + row * at.H, used);
        }
        if constexpr (GATED) {
          fetch<false>(gates(t, unit / L, row + ahead), W);
          fetch<true>(tile_in(da, unit / L, row + ahead), W);
        }
        if (norm_h) add(norm_h + row * L, dh_t * dh_t);
        if constexpr (GATED) gates_back(t, unit / L, row, dh_t, da, counts);
        else store<T>(tile_in(da, q, row) + unit % W, elementwise_back(load(h(t, row) + unit, used), dh_t, unit));
      }
    }
    finish_norm(t, norm_h, call.norms_h_TB);
    finish_norm(t, norm_c, call.norms_c_TB);
    for (int k = 0; k < 6; k++)
      for (Index lane = 0; lane < L; lane++) saturated[k] += counts[k][lane];
  }

  void finish_norm(Index t, T* norm, void* to) const {
    for (Index row = 0; norm && row < rows; row++) {
      *in((T*)to, t, row, 1) = sum<T>(load(norm + row * L));
      store<T>(norm + row * L, V{});
    }
  }

  // A lane of padding is 0.5, so it does not count.
  void count(V x, typename VectorOf<T>::Bits* counts) const {
    counts[0] -= x < low;  // true is -1
    counts[1] -= x > high;
  }

  static void add(T* to, V x) { store<T>(to, load(to) + x); }

  void gates_back(Index t, Index p, Index row, V dh, T* da, Counts& counts) {
    const T *kept = gates(t, p, row), *c = kept_cells();
    V i = load(kept), f = load(kept + L), g = load(kept + 2 * L), o = load(kept + 3 * L);
    V tanh_c = tanh<T>(load(cell((T*)c, t + 1, p, row))), c_before = load(cell((T*)c, t, p, row));
    T* dc_at = cell(dc, 0, p, row);
    V dc_t = load(dc_at) + dh * o * (1 - tanh_c * tanh_c);
    if (norm_c) add(norm_c + row * L, head<T>(dc_t * dc_t, at.H - p * L));
    if (call.saturated) count(i, counts), count(f, counts + 2), count(o, counts + 4);
    store<T>(dc_at, dc_t * f);
    V d[4] = {dc_t * g * i * (1 - i), dc_t * c_before * f * (1 - f), dc_t * i * (1 - g * g), dh * tanh_c * o * (1 - o)};
    T* to = tile_in(da, p, row);
    if constexpr (KIND == RELEASED_SR) {
      const T mu = *in((const T*)call.mu_TB, t, row, 1);
      T* carried = tile_in(y, p, row);  // what the step after adds to dy
      for (int gate = 0; gate < 4; gate++) {
        V dy = (1 + mu) * d[gate] + load(carried + gate * L);
        store<T>(carried + gate * L, -mu * d[gate]);
        d[gate] = dy;
      }
    }
    for (int gate = 0; gate < 4; gate++) store<T>(to + gate * L, head<T>(d[gate], at.H - p * L));
  }

  V elementwise_back(V h_t, V dh, Index unit) {
    const V zero = {};
    if constexpr (KIND == TANH) return dh * (1 - h_t * h_t);
    if constexpr (KIND == SIGMOID) return dh * h_t * (1 - h_t);
    V da = h_t == zero ? zero : dh;  // h = 0 exactly where the unit is off
    if constexpr (KIND == MODRELU) add(dmodrelu + unit, h_t < zero ? -da : da);
    return da;
  }

  void carry_back(Index t0, Index steps, T* da, T* dv) const {
    for (Index step = 0; step < steps; step++)
      for (Index p = 0; p < at.pre.count(); p++)
        for (Index row = 0, width = at.pre.width(p); row < alive(t0 + step); row++)
          if (const T decay = *in((const T*)call.decay_TB, t0 + step, row, 1); decay != 0)
            for (Index i = 0; i < width; i += L)
              add(tile_in(dv, p, row) + i, decay * load(tile_in(da + step * tiles(), p, row) + i));
  }

  // The gradient of `n` lines of the packed weights: += inputs^T da over a chunk. `input(t)` points at the inputs of
  // the thread's first row; the next row is `stride` numbers on.
  template <class F> void product(Index t0, Index steps, T* da, Index line, Index n, Index stride, F input) {
    std::vector<Segments> segments(steps);
    for (Index p = 0; p < at.pre.count(); p++)
      in_blocks(n, [&](Index k, Index size) {
        for (Index step = 0; step < steps; step++)
          segments[step] = {input(t0 + step) + k, 1, stride, tile_in(da + step * tiles(), p, 0), alive(t0 + step)};
        const Index width = at.pre.width(p);
        multiply<T>(size, width, segments.data(), steps, gradient + p * W * at.lines() + (line + k) * width, true);
      });
  }

  void input_gradient(Index t0, Index steps, T* da) const {
    alignas(64) T dx[ROWS * W];
    for (Index step = 0; step < steps; step++)
      for (Index q = 0; q < at.inputs.count(); q++)
        in_blocks(alive(t0 + step), [&](Index row, Index size) {
          back_product(weights.back_x, at.inputs, q, da + step * tiles(), row, size, dx);
          put(dx, at.inputs, q, size, in((T*)call.dx, t0 + step, row, at.D), at.D);
        });
  }
};

// ------------------------------------------------------------------------------------------------ all threads

// f(first, end) on every thread's share of the batch: equal numbers of steps, as near as whole rows allow.
template <class F> void share_rows(const Call& call, F f) {
  std::vector<Index> ends;
  Index all = 0, done = 0;
  for (Index t = 0; t < call.steps; t++) all += call.alive_T[t];
  for (Index row = 0, length = call.steps; row < call.batch; row++) {
    while (length && call.alive_T[length - 1] <= row) length--;
    done += length;
    if (done * call.threads >= all * (Index)(ends.size() + 1)) ends.push_back(row + 1);
  }
  std::atomic<bool> failed = false;
// Compiled by GCC this is torch's own pool, since Python has loaded it: threads beside it would compete with its
// workers, which spin for a while before they sleep.
#pragma omp parallel for schedule(static, 1) num_threads(ends.size())
  for (Index i = 0; i < (Index)ends.size(); i++) try {
      f(i, i ? ends[i - 1] : 0, ends[i]);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
  if (failed) throw std::bad_alloc();
}

template <class T, bool GATED> void measure(const Call& call, int64_t* sizes) {
  const Layout<T, GATED> at(call);
  sizes[0] = GATED ? at.T_ * at.B * at.pre.columns : 0;
  sizes[1] = GATED ? (at.T_ + 1) * at.B * at.units.columns : 0;
  sizes[2] = call.normalised ? at.chunks * at.B * at.pre.columns * (call.mu ? 2 : 1) : 0;
}

template <class T, Recurrence KIND> void run_forward(const Call& call) {
  constexpr bool GATED = Rows<T, KIND>::GATED;
  const Layout<T, GATED> layout(call);
  const Packed<T, GATED> packed(layout, false);
  share_rows(call, [&](Index, Index begin, Index end) { Rows<T, KIND>(layout, packed, begin, end).forward(); });
}

template <class T, Recurrence KIND> void run_backward(const Call& call) {
  constexpr bool GATED = Rows<T, KIND>::GATED;
  const Layout<T, GATED> at(call);
  const Packed<T, GATED> packed(at, true);
  std::vector<std::unique_ptr<Rows<T, KIND>>> all(call.threads);
  share_rows(call, [&](Index i, Index begin, Index end) {
    all[i] = std::make_unique<Rows<T, KIND>>(at, packed, begin, end);
    all[i]->backward();
  });
  T *du = (T*)call.dw_hh, *dw = (T*)call.dw_ih, *db = (T*)call.db_G;
  for (auto& part : all) {
    if (!part) continue;
    const bool add = part != all[0];
    auto put = [add](T* to, T value) { *to = add ? *to + value : value; };
    for (Index p = 0; p < at.pre.count(); p++)
      for (Index c = 0, width = at.pre.width(p); c < width; c++) {
        const Index source = at.source(p, c);
        if (source < 0) continue;
        const T* from = part->gradient + p * WIDTH<T> * at.lines() + c;
        for (Index k = 0; k < at.H; k++) put(du + source * at.H + k, from[k * width]);
        if (db) put(db + source, from[at.H * width]);
        for (Index k = 0; k < at.D; k++) put(dw + source * at.D + k, from[(at.H + 1 + k) * width]);
      }
    for (Index j = 0; KIND == MODRELU && j < at.H; j++) put((T*)call.db_modrelu + j, part->dmodrelu[j]);
    for (int k = 0; call.saturated && k < 6; k++) call.saturated[k] += part->saturated[k];
  }
}

// Whether there was memory enough.
template <class T> bool run(const Call& call, bool backward) {
  try {
    switch (call.recurrence) {
#define CASE(KIND) \
  case KIND: backward ? run_backward<T, KIND>(call) : run_forward<T, KIND>(call); break;
      CASE(LSTM) CASE(RELEASED_SR) CASE(TANH) CASE(RELU) CASE(SIGMOID) CASE(MODRELU)
#undef CASE
    }
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

template <class T> void map(const T* from, T* to, Index n, bool is_tanh) {
  for (Index i = 0; i < n; i += LANES<T>) {
    Vec<T> x = load(from + i, n - i);
    store<T>(to + i, is_tanh ? tanh<T>(x) : sigmoid<T>(x), n - i);
  }
}

// ------------------------------------------------------------------------------------------------ what Python calls

extern "C" {
int64_t call_bytes() { return sizeof(Call); }
// Numbers to allocate for gates, cells and checkpoints.
void sizes_float(const Call* call, int64_t* sizes) {
  call->recurrence <= RELEASED_SR ? measure<float, true>(*call, sizes) : measure<float, false>(*call, sizes);
}
void sizes_double(const Call* call, int64_t* sizes) {
  call->recurrence <= RELEASED_SR ? measure<double, true>(*call, sizes) : measure<double, false>(*call, sizes);
}
bool forward_float(const Call* call) { return run<float>(*call, false); }
bool forward_double(const Call* call) { return run<double>(*call, false); }
bool backward_float(const Call* call) { return run<float>(*call, true); }
bool backward_double(const Call* call) { return run<double>(*call, true); }
// The two functions alone, to test their precision.
void map_float(const float* from, float* to, int64_t n, bool is_tanh) { map(from, to, n, is_tanh); }
void map_double(const double* from, double* to, int64_t n, bool is_tanh) { map(from, to, n, is_tanh); }
}
