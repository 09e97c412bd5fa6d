// A handle that frees itself.
#include <mcir.h>

#include <memory>
#include <stdexcept>

struct Free {
    void operator()(mcir_model *model) const { mcir_model_free(model); }
    void operator()(mcir_plan *plan) const { mcir_plan_free(plan); }
};

std::unique_ptr<mcir_plan, Free> prepare(const char *path, std::size_t width) {
    mcir_model *model = nullptr;
    if (mcir_model_open(path, &model) != MCIR_STATUS_OK) throw std::runtime_error(mcir_last_error());
    const std::unique_ptr<mcir_model, Free> keep(model);
    mcir_plan *plan = nullptr;
    if (mcir_plan_new(model, width, nullptr, &plan) != MCIR_STATUS_OK) throw std::runtime_error(mcir_last_error());
    return std::unique_ptr<mcir_plan, Free>(plan);
}
